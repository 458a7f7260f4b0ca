import { spreadOf } from './statistics.js';

/** The first look is after so many steps, each further one after twice as many. */
const first = 32;

/**
 * How many standard errors the mean has to fall. With 8 steps on either side, Student's t is below −5 by chance once in
 * ten thousand looks, and a run looks less than ten times.
 */
const far = 5;

/**
 * Tells whether a reward falls while its own gradient is followed, as it does where the gradient has the wrong sign. The
 * mean rewards of a run's first quarter and its last are compared, by the spread of the steps within each (Welch's t);
 * each step draws samples of its own, so that the means are independent.
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
    const before = spreadOf(this.#rewards.slice(0, quarter));
    const now = spreadOf(this.#rewards.slice(-quarter));
    const error = Math.sqrt((before.std ** 2 + now.std ** 2) / (quarter - 1));
    return now.mean - before.mean < -far * error ? { from: before.mean, to: now.mean } : undefined;
  }
}
