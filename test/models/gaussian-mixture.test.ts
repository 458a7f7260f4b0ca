// The velocity of a mixture against its definition, and the control network beside it.
import { describe, expect, it } from 'vitest';

import type { Problem } from '../../lib/jobs/fidelity/problem.js';
import { GaussianMixtureModel } from '../../lib/models/gaussian-mixture.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, numbersOf, tensorOf } from '../helpers/numbers.js';
import { temporaryFolder } from '../helpers/tiny-run.js';
import { inOneDimension, lopsided, mixtureDensity, normalDensity, untilted, visitGrid } from '../helpers/mixtures.js';

describe('the analytic velocity', () => {
  const t = [0.05, 0.4, 0.9];
  const points = [
    [0.3, -0.8],
    [1.7, 0.4],
    [-0.6, 1.1],
  ];

  const model = (of: Problem, dtype: 'float32' | 'float64' = 'float64') =>
    new GaussianMixtureModel({ means: of.means, std: of.std, weights: of.weights, width: 8, depth: 2 }, { dtype });

  const velocities = async (
    of: Problem,
    x: readonly (readonly number[])[],
    dtype: 'float32' | 'float64' = 'float64',
    pretrained = true,
  ): Promise<number[]> => {
    using used = model(of, dtype);
    const conditioning = await used.encode(x.map(() => ''));
    return numbersOf(
      await used.native.velocity(await tensorOf(x, 'float64'), Float32Array.from(t), conditioning, pretrained),
    );
  };

  /** log p_t(x) of X_t = t X_1 + (1 − t) ε, from the definition. */
  const logMarginal = ({ means, std, weights }: Problem, x: readonly number[], time: number): number =>
    Math.log(
      means.reduce(
        (sum, mean, mode) =>
          sum +
          weights[mode]! *
            mean.reduce(
              (product, m, j) => product * normalDensity(x[j]!, time * m, time ** 2 * std ** 2 + (1 - time) ** 2),
              1,
            ),
        0,
      ),
    );

  it('agrees with (x + (1 − t) ∇log p_t)/t, the score by finite differences', async () => {
    const found = await velocities(lopsided, points);
    const expected = points.flatMap((x, sample) => {
      const time = Math.fround(t[sample]!);
      return x.map((value, j) => {
        const moved = (by: number) => x.map((other, k) => (k === j ? other + by : other));
        const score = (logMarginal(lopsided, moved(1e-5), time) - logMarginal(lopsided, moved(-1e-5), time)) / 2e-5;
        return (value + (1 - time) * score) / time;
      });
    });
    expectClose(found, expected, 1e-7);
  });

  it('agrees with E[X_1 − ε | x_t] by quadrature over X_1', async () => {
    const [found] = await velocities(inOneDimension, [[0.7], [0.2], [-1]]);
    const time = Math.fround(t[0]!);
    let mass = 0;
    let mean = 0;
    visitGrid(1, 0.01, 8, ([x1]) => {
      const weight = mixtureDensity(untilted(inOneDimension), [x1!]) * normalDensity(0.7, time * x1!, (1 - time) ** 2);
      mass += weight;
      mean += weight * (x1! - (0.7 - time * x1!) / (1 - time));
    });
    expect(found).toBeCloseTo(mean / mass, 8);
  });

  it('rounds to float32, does not depend on the order of modes, and starts with no control', async () => {
    const exact = await velocities(lopsided, points);
    expectClose(await velocities(lopsided, points, 'float32'), exact, 1e-5);
    expectClose(await velocities(lopsided, points, 'float64', false), exact, 1e-12);
    const order = [1, 2, 0];
    const shuffled = {
      ...lopsided,
      means: order.map((i) => lopsided.means[i]!),
      weights: order.map((i) => lopsided.weights[i]!),
    };
    expectClose(await velocities(shuffled, points), exact, 1e-12);
  });

  it('names what is wrong with a mixture or a latent', async () => {
    const config = {
      means: [
        [0, 0],
        [1, 1],
      ],
      std: 1,
      weights: [1, 1],
      width: 8,
      depth: 1,
    };
    expect(() => new GaussianMixtureModel({ ...config, means: [[0, 0], [1]] })).toThrow(
      /means\[1\].*expected 2 numbers, as many as means\[0\], got 1/,
    );
    expect(() => new GaussianMixtureModel({ ...config, weights: [1, 0] })).toThrow(
      /weights\[1\]: expected a number above 0, got 0/,
    );
    expect(() => new GaussianMixtureModel(config, { dtype: 'bfloat16' })).toThrow(/dtype/);
    using used = new GaussianMixtureModel(config);
    await expect(
      used.native.velocity(Tensor.from([1, 2, 3], [1, 3]), Float32Array.of(0.5), await used.encode(['']), true),
    ).rejects.toThrow(/expected floating-point \[B, 2\]/);
  });

  it('saves its control network and reads it back', async () => {
    using saved = new GaussianMixtureModel({ means: [[0]], std: 1, weights: [1], width: 8, depth: 1 }, { seed: 1n });
    using read = new GaussianMixtureModel({ means: [[0]], std: 1, weights: [1], width: 8, depth: 1 }, { seed: 2n });
    const folder = temporaryFolder();
    const weights = async (of: GaussianMixtureModel) => numbersOf(of.native.trainable()['control.0.weight']!);
    expect(await weights(read)).not.toEqual(await weights(saved));
    await saved.saveAdapter(folder);
    await read.loadAdapter(folder);
    expect(await weights(read)).toEqual(await weights(saved));
  });
});
