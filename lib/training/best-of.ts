import { createHash } from 'node:crypto';

import type { Model } from '../models/model.js';
import { score, type Judge, type Reward } from '../rewards/reward.js';
import { binding } from '../runtime/native/index.js';
import type { Device } from '../runtime/native/tensor.js';
import { MeasuredModel, type Measurement } from './measured-model.js';
import { sampleBatches, type SampleBatch, type SampleOptions } from './sampler.js';

/** The best of so many images of the pretrained model is taken in place of one. */
export interface BestOf {
  /** N is how many candidates there are for an image; the first is the one that would be drawn otherwise. */
  candidates: number;
  /** The candidate whose value of this reward is highest is taken, of equals the first. */
  reward: Reward;
  /** The other candidates start from noise of this seed. */
  seed: number;
}

/** Draws one image a prompt, as {@link sampleBatches} does: the best of N by a reward. */
export async function* bestBatches(
  model: Model,
  { candidates, reward, seed }: BestOf,
  options: SampleOptions,
): AsyncGenerator<SampleBatch> {
  const drawings = Array.from({ length: candidates }, (_, number) =>
    sampleBatches(model, {
      ...options,
      weights: 'pretrained',
      seed: number === 0 ? options.seed : candidateSeed(options.seed, seed, number),
    }),
  );
  try {
    for await (const first of drawings[0]!) {
      const best = new BestImages(first.prompts, reward, options.signal);
      await best.offer(first);
      for (const drawing of drawings.slice(1)) await best.offer((await drawing.next()).value as SampleBatch);
      yield best.taken();
    }
  } finally {
    for (const drawing of drawings) await drawing.return(undefined);
  }
}

/** What is measured on the best of N images for each prompt. @throws what the reward and the judge do */
export async function measureBestOf(
  model: Model,
  bestOf: BestOf,
  judge: Judge | undefined,
  options: SampleOptions,
): Promise<Measurement> {
  using measured = new MeasuredModel(bestOf.reward, judge);
  for await (const { images, prompts } of bestBatches(model, bestOf, options)) {
    using taken = images;
    await measured.add(taken, prompts, options.signal);
  }
  return await measured.measurement();
}

/** The best image of each prompt of a batch among those offered so far. */
class BestImages {
  #values: number[] = [];
  #data = new Float32Array();
  #shape: readonly number[] = [];
  #device: Device = 'cpu';
  #forwards = 0;

  constructor(
    private readonly prompts: readonly string[],
    private readonly reward: Reward,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** Takes what is better than what there was, and disposes of the images. */
  async offer(batch: SampleBatch): Promise<void> {
    using images = batch.images;
    const { values } = await score(this.reward, images, this.prompts, { signal: this.signal });
    const data = (await images.data()) as Float32Array;
    this.#forwards += batch.forwards;
    if (this.#values.length === 0) {
      this.#shape = images.shape;
      this.#device = images.device;
      this.#data = Float32Array.from(data);
      this.#values = Array.from(values);
      return;
    }
    const size = data.length / values.length;
    for (const [index, value] of values.entries()) {
      // A value that is not a number is never the better one, and any is better than it.
      if (!(value > this.#values[index]! || Number.isNaN(this.#values[index]))) continue;
      this.#values[index] = value;
      this.#data.set(data.subarray(index * size, (index + 1) * size), index * size);
    }
  }

  /** The best images as a batch, of which the caller disposes, with all the evaluations that they took. */
  taken(): SampleBatch {
    const images = binding().Tensor.from(this.#data, [...this.#shape], { device: this.#device });
    return { prompts: this.prompts, forwards: this.#forwards, images };
  }
}

/** A seed of 64 bits that the sets of no two seeds or candidates share. */
function candidateSeed(set: bigint, run: number, candidate: number): bigint {
  const hash = createHash('sha256').update(`${set} ${run} ${candidate}`).digest();
  return hash.readBigUInt64LE();
}
