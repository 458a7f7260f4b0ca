import { score, type Judge, type Reward } from '../rewards/reward.js';
import type { Tensor } from '../runtime/native/tensor.js';
import { JudgedImages } from './judged-images.js';
import { spreadOf, type Spread } from './statistics.js';

/** This is what was measured on one model's samples. */
export interface Measurement {
  /** The mean of the reward over the images, and its standard deviation. */
  reward: Spread;
  /** The unweighted figures of each reward of a combined one. */
  rewards: Record<string, Spread>;
  /** The fraction of images in which the judge sees what the prompt asked for, in [0, 1]. */
  accuracy?: number;
  /** The mean distance over all pairs of images, measured in the judge's features. */
  diversity?: number;
}

/** These are the rewards of one model's samples, in the samples' order. NaN is what a reward could not say. */
export interface SampleRewards {
  /** The whole reward of each sample. */
  reward: number[];
  /** The unweighted values of each reward of a combined one, for each sample. */
  rewards: Record<string, number[]>;
}

/** Scores one model's images, a batch at a time, and keeps what is measured on all of them. */
export class MeasuredModel implements Disposable {
  readonly samples: SampleRewards = { reward: [], rewards: {} };
  readonly seen: JudgedImages | undefined;

  constructor(
    private readonly reward: Reward,
    judge: Judge | undefined,
  ) {
    this.seen = judge && new JudgedImages(judge);
  }

  /** Scores a batch, of which the caller disposes. @returns its rewards @throws what the reward and the judge do */
  async add(images: Tensor, prompts: readonly string[], signal: AbortSignal | undefined): Promise<SampleRewards> {
    const { values, parts = {} } = await score(this.reward, images, prompts, { signal });
    const rewards = Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, Array.from(part)]));
    const samples = { reward: Array.from(values), rewards };
    appendRewards(this.samples, samples);
    await this.seen?.add(images, prompts, signal);
    return samples;
  }

  async measurement(): Promise<Measurement> {
    const { seen } = this;
    return {
      ...spreadsOf(this.samples),
      ...(seen && { accuracy: seen.accuracy, diversity: await seen.diversity() }),
    };
  }

  [Symbol.dispose](): void {
    this.seen?.[Symbol.dispose]();
  }
}

/**
 * Rewards by name, the whole one first. It is named so that a reward which a file calls "reward" keeps its own name.
 */
export const rewardsByName = ({ reward, rewards }: SampleRewards): Record<string, number[]> => ({
  ['reward' in rewards ? 'whole reward' : 'reward']: reward,
  ...rewards,
});

/** Adds the rewards of further samples. */
export function appendRewards(all: SampleRewards, { reward, rewards }: SampleRewards): void {
  all.reward.push(...reward);
  for (const [name, values] of Object.entries(rewards)) {
    all.rewards[name] ??= [];
    all.rewards[name].push(...values);
  }
}

/** Mean and standard deviation of each reward. */
const spreadsOf = ({ reward, rewards }: SampleRewards): Pick<Measurement, 'reward' | 'rewards'> => ({
  reward: spreadOf(reward),
  rewards: Object.fromEntries(Object.entries(rewards).map(([name, part]) => [name, spreadOf(part)])),
});
