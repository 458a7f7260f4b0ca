import { score, type Reward } from '../rewards/reward.js';
import { binding } from '../runtime/native/index.js';
import type { Tensor } from '../runtime/native/tensor.js';
import { spreadOf } from './statistics.js';

/** The first look is after so many steps, each further one after twice as many. */
const first = 32;

/**
 * How many standard errors the mean has to fall. With 8 steps on either side, Student's t is below −5 by chance once in
 * ten thousand looks, and a run looks less than ten times.
 */
const far = 5;

/**
 * Tells whether a reward falls while its own gradient is followed, as it does where the gradient has the wrong sign.
 * The mean rewards of a run's first quarter and its last are compared, by the spread of the steps within each (Welch's
 * t); each step draws samples of its own, so that the means are independent.
 */
export class FallingReward {
  readonly #rewards: number[] = [];

  /**
   * Takes the mean reward of the next step.
   * @returns the means of the first quarter and of the last where the reward has fallen, at steps 32, 64, 128, …
   */
  add(reward: number): { from: number; to: number } | undefined {
    this.#rewards.push(reward);
    const count = this.#rewards.length;
    if (!Number.isInteger(Math.log2(count / first)) || count < first) return undefined;
    const quarter = count / 4;
    const [old, recent] = [this.#rewards.slice(0, quarter), this.#rewards.slice(-quarter)];
    // Fewer steps than a quarter's would make the standard error larger than is computed here.
    if (![...old, ...recent].every(Number.isFinite)) return undefined;
    const [before, now] = [spreadOf(old), spreadOf(recent)];
    const error = Math.sqrt((before.std ** 2 + now.std ** 2) / (quarter - 1));
    return now.mean - before.mean < -far * error ? { from: before.mean, to: now.mean } : undefined;
  }
}

/** The pixel with the largest gradient is changed by this, to either side. */
const nudge = 0.02;

/**
 * Compares how much a reward rises along its own gradient with what the gradient says, by a central difference.
 * @returns their quotient: 1 for a right gradient, below 0 for one of the wrong sign, NaN where it is 0 or not finite
 * @throws what {@link score} throws
 */
export async function riseAlongGradient(
  reward: Reward,
  images: Tensor,
  prompts: readonly string[],
  signal: AbortSignal | undefined,
): Promise<number> {
  const { grad } = await score(reward, images, prompts, { gradient: true, signal });
  using gradient = grad!;
  using plain = await gradient.to({ dtype: 'float32', device: 'cpu' });
  const slopes = (await plain.data()) as Float32Array;
  const largest = slopes.reduce((most, slope) => Math.max(most, Math.abs(slope)), 0);
  if (!(largest > 0)) return NaN;
  const total = async (by: number) => {
    using moved = await binding().weightedSum([images, gradient], [1, by / largest]);
    const { values } = await score(reward, moved, prompts, { signal });
    return values.reduce((sum, value) => sum + value, 0);
  };
  const rise = ((await total(nudge)) - (await total(-nudge))) / (2 * nudge);
  return rise / slopes.reduce((sum, slope) => sum + slope ** 2 / largest, 0);
}
