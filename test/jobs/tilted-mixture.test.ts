// The exact answer of a problem against quadrature and formulas that the package does not use.
import { describe, expect, it } from 'vitest';

import { readProblem } from '../../lib/jobs/fidelity/problem.js';
import { expectedReward, tiltedMixture } from '../../lib/jobs/fidelity/tilted-mixture.js';
import { expectClose } from '../helpers/numbers.js';
import {
  inOneDimension,
  lopsided,
  mixtureDensity,
  problem,
  rewardOf,
  untilted,
  visitGrid,
} from '../helpers/mixtures.js';

const inThreeDimensions = problem({
  means: [
    [0, 1, -1],
    [1, -0.5, 0.5],
  ],
  std: 0.7,
  reward: { linear: [0.5, -1, 0.2], quadratic: [1, 0, 0.5], center: [0.3, 0, -0.2] },
  lambda: 1.5,
});

describe('the tilted mixture', () => {
  it.each([
    { what: '1 dimension', tilted: inOneDimension, step: 0.02, limit: 8 },
    { what: '2 dimensions, unequal weights, one convex direction', tilted: lopsided, step: 0.05, limit: 8 },
    { what: '3 dimensions', tilted: inThreeDimensions, step: 0.2, limit: 6 },
  ])('agrees with p exp(λ r) and its E[r] by quadrature: $what', ({ tilted, step, limit }) => {
    const target = tiltedMixture(tilted);
    const data = untilted(tilted);
    let mass = 0;
    let rewarded = 0;
    let difference = 0;
    let compared = 0;
    visitGrid(tilted.means[0]!.length, step, limit, (x) => {
      const weight = mixtureDensity(data, x) * Math.exp(tilted.lambda * rewardOf(tilted, x));
      mass += weight;
      rewarded += weight * rewardOf(tilted, x);
    });
    const cell = step ** tilted.means[0]!.length;
    visitGrid(tilted.means[0]!.length, 10 * step, limit, (x) => {
      const exact = (mixtureDensity(data, x) * Math.exp(tilted.lambda * rewardOf(tilted, x))) / (mass * cell);
      difference = Math.max(difference, Math.abs(mixtureDensity(target, x) - exact));
      compared = Math.max(compared, exact);
    });
    expect(compared).toBeGreaterThan(0.01);
    expect(difference).toBeLessThan(1e-8);
    expect(expectedReward(target, tilted)).toBeCloseTo(rewarded / mass, 8);
    expect(target.weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
  });

  it('equals the pretrained mixture at λ = 0', () => {
    const same = tiltedMixture({ ...lopsided, lambda: 0 });
    expectClose(same.means.flat(), lopsided.means.flat(), 1e-12);
    expectClose(same.weights.slice(), lopsided.weights.slice(), 1e-12);
    expectClose(
      same.variances.flat(),
      lopsided.means.flat().map(() => 0.36),
      1e-12,
    );
  });

  it('has the published rewards for the shipped problems', async () => {
    const reached = async (name: string) => {
      const shipped = await readProblem(name);
      return expectedReward(tiltedMixture(shipped), shipped);
    };
    expect(await reached('overlapping')).toBeCloseTo(2.0871, 4);
    expect(await reached('separated')).toBeCloseTo(1.1096, 4);
    for (const name of ['strong', 'three', 'uneven', 'eight']) expect(await reached(name)).toBeGreaterThan(0);
  });

  it('does not depend on the order of modes', () => {
    const order = [2, 0, 1];
    const shuffled = {
      ...lopsided,
      means: order.map((i) => lopsided.means[i]!),
      weights: order.map((i) => lopsided.weights[i]!),
    };
    const [target, other] = [tiltedMixture(lopsided), tiltedMixture(shuffled)];
    expectClose(
      other.weights.slice(),
      order.map((i) => target.weights[i]!),
      1e-12,
    );
    expect(expectedReward(other, shuffled)).toBeCloseTo(expectedReward(target, lopsided), 12);
  });

  it('keeps positive weights where modes are far apart, and refuses what has no density', () => {
    const far = tiltedMixture(problem({ means: [[-40], [40]], std: 1, reward: { linear: [20] }, lambda: 1 }));
    expect(far.weights[0]).toBeGreaterThan(0);
    expect(far.weights[1]).toBe(1);
    const rising = problem({ means: [[0]], std: 0.5, reward: { quadratic: [-4] }, lambda: 1 });
    expect(() => tiltedMixture(rising)).toThrow(/reward\.quadratic\[0\]: expected a number above -4, .*, got -4$/);
  });
});
