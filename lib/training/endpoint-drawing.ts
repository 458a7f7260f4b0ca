import type { Model } from '../models/model.js';
import type { Reward } from '../rewards/reward.js';
import type { NativeAlgorithm, NativeRollout } from '../runtime/native/binding.js';
import { CurrentSamples, type Conditions, type ScoredBatch } from './samples.js';

/** These options decide which endpoints of the pretrained model are drawn. */
export interface DrawingOptions {
  model: Model;
  reward: Reward;
  /** Whether the reward is asked for its gradient. */
  gradient: boolean;
  algorithm: NativeAlgorithm;
  /** Every prompt is here once. */
  prompts: readonly string[];
  perPrompt: number;
  /** So many samples are drawn at a time. */
  batch: number;
  seed: bigint;
  /** Makes what the network is conditioned on for a batch of prompts. */
  encode(prompts: readonly string[]): Promise<Conditions>;
}

/** A batch of endpoints was drawn and scored. */
export interface DrawnEndpoints extends ScoredBatch {
  /** The batch begins at this row. */
  first: number;
  /** Seconds since the batch before. */
  seconds: number;
}

/** Samples were drawn for these prompts, and have no score yet. */
interface Rollout {
  prompts: readonly string[];
  samples: NativeRollout;
}

/**
 * Draws and scores endpoints from row `first` on, in batches; a prompt's rows are one after the other.
 *
 * Without a gradient, the next batch is drawn while the reward scores: what has values alone is often a service, which
 * takes its time elsewhere. A gradient is computed on this machine, and what its backward pass needs of a batch is
 * memory that two batches would take twice.
 * @throws what the model and the reward throw, and the signal's reason
 */
export async function* drawEndpoints(
  { model, reward, gradient, algorithm, prompts, perPrompt, batch, seed, encode }: DrawingOptions,
  first: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<DrawnEndpoints, void, void> {
  const rows = prompts.length * perPrompt;
  const source = new CurrentSamples(model, reward, algorithm, seed, gradient);
  const isAhead = !gradient;
  const rollout = async (from: number): Promise<Rollout> => {
    const count = Math.min(batch, rows - from);
    const batchPrompts = Array.from({ length: count }, (_, row) => prompts[Math.floor((from + row) / perPrompt)]!);
    using conditions = await encode(batchPrompts);
    const samples = await source.rollout({ prompts: batchPrompts, conditions, step: from / batch, signal });
    return { prompts: batchPrompts, samples };
  };

  let start = performance.now();
  let next: Promise<Rollout> | undefined;
  try {
    for (; first < rows; first += batch) {
      const drawn = await (next ?? rollout(first));
      next = isAhead && first + batch < rows ? rollout(first + batch) : undefined;
      // Whether it failed is asked when its turn comes, or never.
      next?.catch(() => {});
      const { samples, scored } = await source.score(drawn.samples, { prompts: drawn.prompts, signal });
      try {
        const now = performance.now();
        yield { first, samples, scored, seconds: (now - start) / 1000 };
        start = now;
      } finally {
        scored.grad?.dispose();
        samples.dispose();
      }
    }
  } finally {
    const unused = await next?.catch(() => undefined);
    unused?.samples.dispose();
  }
}
