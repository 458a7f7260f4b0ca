import { describe, expect, it } from 'vitest';

import { NonFiniteError } from '../../lib/errors.js';
import { EndpointWeights } from '../../lib/training/endpoint-weights.js';

/** The quantiles of a standard normal at the middles of `count` equal shares, by bisection of its distribution. */
function normalQuantiles(count: number): number[] {
  const below = (x: number): number => {
    // Integrated by Simpson's rule from −9.
    const steps = 400;
    const h = (x + 9) / steps;
    const density = (z: number) => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
    let sum = density(-9) + density(x);
    for (let i = 1; i < steps; i++) sum += (i % 2 ? 4 : 2) * density(-9 + i * h);
    return (sum * h) / 3;
  };
  return Array.from({ length: count }, (_, index) => {
    const share = (index + 0.5) / count;
    let [low, high] = [-9, 9];
    for (let i = 0; i < 40; i++) {
      const middle = (low + high) / 2;
      if (below(middle) < share) low = middle;
      else high = middle;
    }
    return low;
  });
}

describe('EndpointWeights', () => {
  it('has an effective share of e^(−λ² Var r) where rewards are Gaussian', () => {
    const rewards = normalQuantiles(20000).map((quantile) => 3 + 0.5 * quantile);
    for (const lambda of [0.2, 1, 2]) {
      const { effectiveShare } = new EndpointWeights('', rewards, lambda);
      expect(effectiveShare).toBeCloseTo(Math.exp(-(lambda ** 2) * 0.25), 2);
    }
  });

  it('takes every endpoint alike at λ = 0', () => {
    const weights = new EndpointWeights('', [5, -1, 2, 7], 0);
    expect(weights.effectiveShare).toBe(1);
    expect([0, 0.249, 0.251, 0.5, 0.74, 0.999].map((place) => weights.at(place))).toEqual([0, 0, 1, 2, 2, 3]);
  });

  it('takes endpoints in proportion to e^(λr)', () => {
    const weights = new EndpointWeights('', [0, Math.log(3)], 1);
    expect([0, 0.2499, 0.2501, 0.99999].map((place) => weights.at(place))).toEqual([0, 0, 1, 1]);
    expect(weights.effectiveShare).toBeCloseTo(16 / (2 * 10), 12);
  });

  it('does not overflow', () => {
    const weights = new EndpointWeights('', [1000, 2000, 1999], 1);
    expect(weights.effectiveShare).toBeCloseTo((1 + Math.exp(-1)) ** 2 / (3 * (1 + Math.exp(-2))), 12);
    expect(weights.at(0)).toBe(1);
  });

  it('never takes an endpoint whose reward is not finite', () => {
    const weights = new EndpointWeights('', [Number.NaN, 1, Number.POSITIVE_INFINITY, 1], 1);
    expect([0, 0.49, 0.51, 0.999999].map((place) => weights.at(place))).toEqual([1, 1, 3, 3]);
    expect(weights.effectiveShare).toBeCloseTo(0.5, 12);
  });

  it('refuses a prompt without a finite reward, by name', () => {
    expect(() => new EndpointWeights('a fox', [Number.NaN, Number.NaN], 1)).toThrow(NonFiniteError);
    expect(() => new EndpointWeights('a fox', [Number.NaN], 1)).toThrow(
      'none of the 1 rewards of the prompt "a fox" is finite',
    );
  });
});
