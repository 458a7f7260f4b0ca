// Directories of the tiny published rewards, to change and to score with.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import {
  aesthetic,
  clipScore,
  hpsv2,
  imageReward,
  pickScore,
  type PublishedReward,
  type PublishedRewardOptions,
} from '../../lib/index.js';
import { loadTensors, readHeader } from '../../lib/files/safetensors.js';
import type { Tensor } from '../../lib/runtime/native/tensor.js';
import { temporaryFolder } from './tiny-run.js';

export const rewardNames = ['pickscore', 'hpsv2', 'imagereward', 'clipscore', 'aesthetic'] as const;
export type RewardName = (typeof rewardNames)[number];

/** The fixture itself. */
export const rewardDirectory = (name: RewardName): string =>
  fileURLToPath(new URL(`../fixtures/rewards-tiny/${name}`, import.meta.url));

/** A copy of a fixture, to be spoilt. */
export function copyOf(name: RewardName): string {
  const copy = join(temporaryFolder(), name);
  cpSync(rewardDirectory(name), copy, { recursive: true, filter: (path) => !path.endsWith('goldens.safetensors') });
  return copy;
}

export function editJson(path: string, edit: (json: Record<string, unknown>) => void): void {
  const json = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  edit(json);
  writeFileSync(path, JSON.stringify(json));
}

const factories = { pickscore: pickScore, hpsv2, imagereward: imageReward, clipscore: clipScore, aesthetic };

export function publishedReward(
  name: RewardName,
  directory = rewardDirectory(name),
  options: PublishedRewardOptions = {},
): PublishedReward {
  return factories[name](directory, {
    ...options,
    ...(name === 'aesthetic' && { tower: rewardDirectory('clipscore') }),
  });
}

/** What the published code computed with a fixture. */
export async function goldensOf(name: RewardName): Promise<{ tensors: Record<string, Tensor>; prompts: string[] }> {
  const path = join(rewardDirectory(name), 'goldens.safetensors');
  const { metadata } = await readHeader(path);
  return { tensors: await loadTensors(path), prompts: JSON.parse(metadata['prompts']!) as string[] };
}
