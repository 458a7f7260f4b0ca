// A configuration on the tiny Stable Diffusion 3.5, for plans of it.
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach, vi } from 'vitest';

import { binding } from '../../lib/runtime/native/index.js';
import { fixture } from './published.js';

export const tiny = fixture('sd35-tiny');
export const folder = mkdtempSync(join(tmpdir(), 'eam-plan-'));

/** Gives every test of a file an empty cache of text embeddings, which decide what has to be encoded. */
export function useEmptyCaches(): void {
  beforeAll(() => {
    // LibTorch may be in the user's own cache.
    binding();
  });
  beforeEach(() => void vi.stubEnv('XDG_CACHE_HOME', mkdtempSync(join(folder, 'cache-'))));
  afterAll(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  });
}

export const config = {
  model: tiny,
  adapter: { rank: 4, alpha: 8 },
  prompts: ['a fox', 'a castle'],
  rewards: [{ name: 'stroke-weight' }],
  algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, guidance: 3, allowGuidedRollout: true },
  optimizer: { learningRate: 1e-3 },
  image: { width: 64, height: 64 },
  samples: { count: 8, steps: 2, batch: 8 },
  textLength: 16,
  steps: 1,
  batch: 8,
};

/** Writes the configuration with `changes` into a file. */
export const written = async (changes: object = {}): Promise<string> => {
  const path = join(folder, 'config.json');
  await writeFile(path, JSON.stringify({ ...config, ...changes }));
  return path;
};
