// Distances between sets of samples against their definitions and closed forms.
import { describe, expect, it } from 'vitest';

import { expectedReward, tiltedMixture } from '../../lib/jobs/fidelity/tilted-mixture.js';
import { Yardstick } from '../../lib/jobs/fidelity/yardstick.js';
import type { GaussianMixture } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { quadratic } from '../../lib/rewards/quadratic.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, numbersOf, tensorOf } from '../helpers/numbers.js';
import { lopsided } from '../helpers/mixtures.js';

describe('distances between samples', () => {
  const count = 4000;
  const gaussian = (mean: number[], variance: number[]): GaussianMixture => ({
    means: [mean],
    variances: [variance],
    weights: [1],
  });
  const draw = (of: GaussianMixture, seed: bigint): Promise<Tensor> => binding().drawMixture(of, count, seed, 'cpu');

  it('vanish between two sets of exact samples and see a shift', async () => {
    const target = tiltedMixture(lopsided);
    using yardstick = await Yardstick.create(target, quadratic(lopsided.reward), await draw(target, 1n), {
      projections: 64,
      neighbours: 5,
    });
    const same = await yardstick.measure(await draw(target, 2n));
    const shifted = await yardstick.measure(
      await draw({ ...target, means: target.means.map((mean) => mean.map((m) => m + 0.3)) }, 2n),
    );
    expect(Math.abs(same.mmdSquared)).toBeLessThan(1e-3);
    expect(shifted.mmdSquared).toBeGreaterThan(1e-2);
    expect(same.slicedWasserstein).toBeLessThan(0.08);
    // Every direction of the plane sees 0.3 √2 |cos|: its root mean square is 0.3.
    expect(shifted.slicedWasserstein).toBeGreaterThan(0.25);
    expect(shifted.slicedWasserstein).toBeLessThan(0.35);
    expect(Math.abs(same.kl)).toBeLessThan(0.05);
    expect(shifted.kl).toBeGreaterThan(0.08);
    expectClose(same.modeWeights, [...target.weights], 0.05);
    expect(Math.abs(same.reward - expectedReward(target, lopsided))).toBeLessThan(4 * same.rewardError);
  });

  it('give the MMD² of its definition, whatever the blocks', async () => {
    const x = [
      [0, 0],
      [1, 0],
      [0, 2],
    ];
    const y = [
      [0.5, 0.5],
      [-1, 1],
    ];
    const kernel = (a: number[], b: number[]) =>
      Math.exp(-((a[0]! - b[0]!) ** 2 + (a[1]! - b[1]!) ** 2) / (2 * 0.8 ** 2));
    const across = x.flatMap((a) => y.map((b) => kernel(a, b))).reduce((sum, value) => sum + value, 0) / 6;
    const within = (kernel(x[0]!, x[1]!) + kernel(x[0]!, x[2]!) + kernel(x[1]!, x[2]!)) / 3;
    const [a, b] = [await tensorOf(x, 'float32'), await tensorOf(y, 'float32')];
    expect(await binding().meanKernel(a, b, [0.8])).toBeCloseTo(across, 6);
    expect(await binding().meanKernel(a, undefined, [0.8])).toBeCloseTo(within, 6);
    expect(await binding().medianDistance(a)).toBeCloseTo(2, 6);
    // 4000² pairs are many blocks, 500² two: the mean over the first half's pairs is close to that over all.
    const many = await draw(gaussian([0, 0], [1, 1]), 3n);
    const few = await binding().drawMixture(gaussian([0, 0], [1, 1]), 500, 3n, 'cpu');
    // E k of two standard normals of d = 2: (h²/(h² + 2))^(d/2).
    expect(await binding().meanKernel(many, undefined, [1])).toBeCloseTo(1 / 3, 2);
    expect(Math.abs((await binding().meanKernel(few, undefined, [1])) - 1 / 3)).toBeLessThan(0.03);
  });

  it('give the closed form of the KL between Gaussians in 1, 2 and 3 dimensions', async () => {
    const cases: [mean: number[], variance: number[]][] = [
      [[0.4], [0.5]],
      [
        [0.5, -0.2],
        [1.5, 0.6],
      ],
      [
        [0.3, 0, -0.4],
        [0.8, 1.2, 1],
      ],
    ];
    for (const [mean, variance] of cases) {
      const samples = await draw(gaussian(mean, variance), 7n);
      const standard = gaussian(
        mean.map(() => 0),
        mean.map(() => 1),
      );
      const found = -(await binding().entropy(samples, 5)) - (await binding().mixtureMeanLogDensity(standard, samples));
      const exact = mean.reduce((sum, m, j) => sum + 0.5 * (variance[j]! + m ** 2 - 1 - Math.log(variance[j]!)), 0);
      expect(Math.abs(found - exact), `${mean.length} dimensions: ${found}, exact ${exact}`).toBeLessThan(0.05);
    }
  });

  it('find mode weights where modes overlap', async () => {
    const mixture = { means: [[-0.8], [0.8]], variances: [[0.5], [0.5]], weights: [0.15, 0.85] };
    const found = await binding().fitMixtureWeights({ ...mixture, weights: [0.5, 0.5] }, await draw(mixture, 11n));
    expectClose(found, mixture.weights, 0.04);
  });

  it('draw samples that depend on their number and the seed alone', async () => {
    const target = tiltedMixture(lopsided);
    const [few, many, other] = [
      await numbersOf(await binding().drawMixture(target, 10, 5n, 'cpu')),
      await numbersOf(await binding().drawMixture(target, 20, 5n, 'cpu')),
      await numbersOf(await binding().drawMixture(target, 10, 6n, 'cpu')),
    ];
    expect(many.slice(0, 20)).toEqual(few);
    expect(other).not.toEqual(few);
  });

  it('refuse by name what does not fit', async () => {
    const [x, wide] = [Tensor.from([1, 2, 3, 4], [2, 2]), Tensor.from([1, 2, 3, 4, 5, 6], [2, 3])];
    await expect(binding().meanKernel(x, wide, [1])).rejects.toThrow(
      /y: expected 2 numbers a sample on cpu as x has, got 3/,
    );
    await expect(binding().meanKernel(x, undefined, [0])).rejects.toThrow(
      /bandwidths: expected numbers above 0, got 0/,
    );
    await expect(binding().entropy(x, 2)).rejects.toThrow(/k: expected 1 to 1, below the samples, got 2/);
    await expect(binding().slicedWasserstein(x, Tensor.from([1, 2], [1, 2]), 4, 0n)).rejects.toThrow(
      /y: expected as many samples as x, 2, got 1/,
    );
    await expect(binding().mixtureMeanLogDensity({ means: [[0]], variances: [[0]], weights: [1] }, x)).rejects.toThrow(
      /variances: expected numbers above 0, got 0/,
    );
  });
});
