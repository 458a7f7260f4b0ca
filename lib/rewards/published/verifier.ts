import { z } from 'zod';

import { validate } from '../../schema/validate.js';
import { CheckpointError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { Goldens } from '../../models/verification/goldens.js';
import type { Finding } from '../../models/verification/finding.js';
import type { Verifier, VerifySettings } from '../../models/verification/verification.js';
import { clipNormalisation } from './clip-directory.js';
import type { PublishedReward, PublishedRewardOptions } from './published-reward.js';

/** A reward from its directory; `tower` as the verifier was told. */
export type CreateReward = (
  directory: string,
  options: PublishedRewardOptions & { tower?: string | undefined },
) => PublishedReward;

/**
 * Checks a published reward against goldens: `LABEL.images` and what is computed from them, `LABEL.pixel_values`,
 * `LABEL.scores` and `LABEL.grad_images`, for every label; `ids` and `mask` of the `prompts` in the metadata; and
 * `pil.pixel_values` of the bytes `pil.input_uint8`, which PIL resized.
 */
export function verifierOf(create: CreateReward): Verifier {
  return async function* (directory, goldens, settings) {
    const { device, dtype, onNote, tower } = settings;
    using reward = create(directory, { device, dtype, tower });
    await reward.load();
    const prompts = promptsOf(goldens);
    yield* compareTokens(reward, goldens, prompts);
    const labels = goldens.names
      .filter((name) => name.endsWith('.images'))
      .map((name) => name.slice(0, -'.images'.length));
    for (const label of labels) yield* compareImages(reward, goldens, label, prompts, settings);
    if (goldens.has('pil.input_uint8', 'pil.pixel_values')) {
      using asReference = create(directory, { device, dtype, tower, asReference: true });
      yield await comparePil(asReference, goldens, device);
    }
    if (reward.truncatedPrompts)
      onNote(`${reward.truncatedPrompts} of ${prompts.length} prompts are longer than the window, and were cut`);
  };
}

function promptsOf(goldens: Goldens): string[] {
  const { prompts = '[]' } = goldens.metadata;
  let list: unknown;
  try {
    list = JSON.parse(prompts);
  } catch (error) {
    throw new CheckpointError(`${goldens.path}: "prompts" in its metadata is no JSON: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return validate(z.array(z.string()), list, `${goldens.path}, prompts`);
}

async function* compareTokens(
  reward: PublishedReward,
  goldens: Goldens,
  prompts: readonly string[],
): AsyncGenerator<Finding> {
  const tokens = goldens.has('ids') || goldens.has('mask') ? await reward.tokens(prompts) : undefined;
  for (const [name, computed] of Object.entries(tokens ?? {})) {
    if (!goldens.has(name)) computed.dispose();
    // An id is right or wrong.
    else yield { ...(await goldens.compare(name, await cutTo(computed, goldens.get(name).shape[1]))), tolerance: 0 };
  }
}

/** Rows as long as the goldens': some of the published scripts pad to the longest prompt, some to the window. */
async function cutTo(rows: Tensor, length = 0): Promise<Tensor> {
  const [count, found] = rows.shape as [number, number];
  if (found <= length) return rows;
  const data = (await rows.data()) as BigInt64Array;
  rows.dispose();
  const cut = BigInt64Array.from(
    { length: count * length },
    (_, index) => data[Math.floor(index / length) * found + (index % length)]!,
  );
  return binding().Tensor.from(cut, [count, length]);
}

async function* compareImages(
  reward: PublishedReward,
  goldens: Goldens,
  label: string,
  prompts: readonly string[],
  { device }: VerifySettings,
): AsyncGenerator<Finding> {
  using images = await goldens.get(`${label}.images`).to({ device });
  const count = images.shape[0]!;
  if (goldens.has(`${label}.pixel_values`))
    yield await goldens.compare(`${label}.pixel_values`, await reward.preprocess(images));
  const gradient = goldens.has(`${label}.grad_images`);
  if (!gradient && !goldens.has(`${label}.scores`)) return;
  const { values, grad } = await reward.score(images, prompts.slice(0, count), { gradient });
  if (goldens.has(`${label}.scores`))
    yield await goldens.compare(`${label}.scores`, binding().Tensor.from(values, [count]));
  if (grad) yield await goldens.compare(`${label}.grad_images`, grad);
}

/** PIL rounds what it resizes to bytes, so that sums which end beside a half may be a step off: two are allowed. */
async function comparePil(reward: PublishedReward, goldens: Goldens, device: string): Promise<Finding> {
  const input = goldens.get('pil.input_uint8');
  const image = Float32Array.from((await input.data()) as Uint8Array, (byte) => byte / 255);
  using images = binding().Tensor.from(image, [1, ...input.shape], { device });
  using pixels = await reward.preprocess(images);
  const golden = goldens.get('pil.pixel_values');
  const same = binding().Tensor.from((await pixels.data()) as Float32Array, golden.shape);
  const comparison = await goldens.compare('pil.pixel_values', same);
  return { ...comparison, tolerance: 2 / 255 / Math.min(...clipNormalisation.std) / comparison.scale };
}
