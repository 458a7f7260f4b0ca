import { NonFiniteError } from '../errors.js';

/** The endpoints of one prompt are weighed by e^{λr}. */
export class EndpointWeights {
  /** Each number sums the weights up to and with its endpoint; the last is 1. */
  readonly #cumulative: Float64Array;
  /**
   * (Σ w)²/(N Σ w²) in (0, 1]: the share of the endpoints that N of equal weight would have to be to say as much. For
   * Gaussian rewards it is e^{−λ² Var r}.
   */
  readonly effectiveShare: number;

  /**
   * @param rewards r of each endpoint; one that is not finite has no weight
   * @throws NonFiniteError where none is finite
   */
  constructor(prompt: string, rewards: readonly number[] | Float32Array, lambda: number) {
    const finite = Array.from(rewards).filter(Number.isFinite);
    if (finite.length === 0) {
      throw new NonFiniteError(`none of the ${rewards.length} rewards of the prompt "${prompt}" is finite`);
    }
    const largest = finite.reduce((most, reward) => Math.max(most, lambda * reward), -Infinity);
    const weights = Float64Array.from(rewards, (reward) =>
      Number.isFinite(reward) ? Math.exp(lambda * reward - largest) : 0,
    );
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const squares = weights.reduce((sum, weight) => sum + weight ** 2, 0);
    this.effectiveShare = total ** 2 / (rewards.length * squares);
    this.#cumulative = new Float64Array(weights.length);
    let sum = 0;
    for (const [index, weight] of weights.entries()) {
      sum += weight;
      // Added in the order of `total`: exactly 1 at the last that has a weight.
      this.#cumulative[index] = sum / total;
    }
  }

  /** Finds the endpoint at a place in [0, 1) of all their weights side by side. */
  at(place: number): number {
    let low = 0;
    let high = this.#cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#cumulative[middle]! > place) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
