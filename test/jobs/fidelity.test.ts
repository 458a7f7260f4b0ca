// Exact answers against formulas that the package does not use, and `eam fidelity` from end to end.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, describe, expect, it, vi } from 'vitest';

import type { FidelityResult } from '../../lib/jobs/fidelity/result.js';
import { problemSchema, readProblem, type Problem } from '../../lib/jobs/fidelity/problem.js';
import { expectedReward, tiltedMixture } from '../../lib/jobs/fidelity/tilted-mixture.js';
import { Yardstick } from '../../lib/jobs/fidelity/yardstick.js';
import { GaussianMixtureModel } from '../../lib/models/gaussian-mixture.js';
import type { GaussianMixture } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { quadratic } from '../../lib/rewards/quadratic.js';
import { score } from '../../lib/rewards/reward.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { eam } from '../helpers/command-line.js';
import { expectClose, numbersOf, tensorOf } from '../helpers/numbers.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

afterEach(() => vi.restoreAllMocks());

const problem = (value: object): Problem => problemSchema.parse(value);

const lopsided = problem({
  means: [
    [-1, 0.5],
    [2, -1],
    [0.3, 1.5],
  ],
  std: 0.6,
  weights: [1, 2, 5],
  reward: { linear: [0.7, -0.4], quadratic: [0.8, -0.5], center: [0.2, -0.3] },
  lambda: 1.3,
});
const inOneDimension = problem({
  means: [[-2], [1]],
  std: 0.5,
  weights: [3, 1],
  reward: { linear: [1.2], quadratic: [0.6], center: [0.4] },
  lambda: 0.8,
});
const inThreeDimensions = problem({
  means: [
    [0, 1, -1],
    [1, -0.5, 0.5],
  ],
  std: 0.7,
  reward: { linear: [0.5, -1, 0.2], quadratic: [1, 0, 0.5], center: [0.3, 0, -0.2] },
  lambda: 1.5,
});

const rewardOf = ({ reward: { linear, quadratic: curvature, center } }: Problem, x: readonly number[]): number =>
  x.reduce((sum, value, j) => sum + linear[j]! * value - 0.5 * curvature[j]! * (value - center[j]!) ** 2, 0);

const normalDensity = (x: number, mean: number, variance: number): number =>
  Math.exp(-((x - mean) ** 2) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);

const mixtureDensity = ({ means, variances, weights }: GaussianMixture, x: readonly number[]): number =>
  means.reduce(
    (sum, mean, mode) =>
      sum + weights[mode]! * mean.reduce((product, m, j) => product * normalDensity(x[j]!, m, variances[mode]![j]!), 1),
    0,
  );

const untilted = ({ means, std, weights }: Problem): GaussianMixture => ({
  means,
  variances: means.map((mean) => mean.map(() => std ** 2)),
  weights,
});

/** Σ f over a grid that covers everything, the rectangle rule, which is exact to rounding for what dies out in time. */
function visitGrid(dimensions: number, step: number, limit: number, visit: (x: number[]) => void): void {
  const count = Math.round((2 * limit) / step) + 1;
  for (let index = 0; index < count ** dimensions; index++) {
    visit(Array.from({ length: dimensions }, (_, j) => -limit + step * (Math.floor(index / count ** j) % count)));
  }
}

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

describe('the quadratic reward', () => {
  it('gives values and gradients', async () => {
    const x = [
      [0.5, -1],
      [2, 0.25],
    ];
    const images = Tensor.from(Float32Array.from(x.flat()), [2, 2, 1, 1]);
    const { values, grad } = await score(quadratic(lopsided.reward), images, ['', ''], { gradient: true });
    expectClose(
      [...values],
      x.map((row) => rewardOf(lopsided, row)),
      1e-6,
    );
    const { linear, quadratic: curvature, center } = lopsided.reward;
    expectClose(
      await numbersOf(grad!),
      x.flatMap((row) => row.map((value, j) => linear[j]! - curvature[j]! * (value - center[j]!))),
      1e-6,
    );
    expect(grad!.shape).toEqual([2, 2, 1, 1]);
  });

  it('fills in zeros and refuses lengths that do not agree', async () => {
    const { values } = await score(quadratic({ quadratic: [2] }), Tensor.from([3], [1, 1, 1, 1]), [''], {});
    expect(values[0]).toBe(-9);
    expect(() => quadratic({ center: [1] })).toThrow(/expected linear, quadratic or both/);
    await expect(score(quadratic({ linear: [1, 2] }), Tensor.from([3], [1, 1]), [''], {})).rejects.toThrow(
      /linear: expected one number for each of a sample's 1, got 2/,
    );
  });
});

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

describe('eam fidelity', () => {
  const run = (...args: string[]) => eam('fidelity', ...args);

  const file = (value: unknown): string => {
    const path = join(mkdtempSync(join(tmpdir(), 'eam-fidelity-')), 'problem.json');
    writeFileSync(path, JSON.stringify(value));
    return path;
  };

  const small = [
    '--batch',
    '64',
    '--set',
    'sampling.count=1000',
    '--set',
    'sampling.curveCount=500',
    '--set',
    'sampling.steps=20',
    '--set',
    'optimizer.learningRate=1e-2',
  ];

  it.each(['eam', 'am'])('comes closer to the exact answer with %s, and says how close', async (algorithm) => {
    const { code, stdout, stderr } = await run(
      '--problem',
      'overlapping',
      '--algorithm',
      algorithm,
      '--seeds',
      '3,4',
      '--steps',
      '40',
      '--evaluate-every',
      '20',
      ...small,
      '--json',
    );
    expect(stderr).toContain('seed 4');
    expect(code).toBe(0);
    expect(stdout.trim()).not.toContain('\n');
    const result = JSON.parse(stdout) as FidelityResult;
    expect(result.exact.reward).toBeCloseTo(2.0871, 4);
    expect(result.exact.pretrainedReward).toBeCloseTo(-0.87, 6);
    expect(result.settings.algorithm).toMatchObject({ name: algorithm, lambda: 1 });
    expect(result.runs.map(({ seed }) => seed)).toEqual([3, 4]);
    for (const reached of result.runs) {
      expect(Math.abs(reached.reward - 2.0871)).toBeLessThan(1);
      expect(Math.abs(result.pretrained.reward - 2.0871)).toBeGreaterThan(2.5);
      expect(reached.mmdSquared).toBeLessThan(result.pretrained.mmdSquared / 5);
      expect(reached.kl).toBeLessThan(result.pretrained.kl / 3);
      expect(reached.modeWeights).toHaveLength(4);
      expect(reached.modeWeights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 6);
      expect(reached.forwards).toBeGreaterThan(0);
      expect(reached.vjps).toBeGreaterThan(0);
      expect(reached.backwards).toBeGreaterThan(0);
      expect(reached.seconds).toBeGreaterThan(0);
      expect(reached.curve.map(({ step }) => step)).toEqual([0, 20, 40]);
      expect(reached.curve[0]).toMatchObject({ forwards: 0, seconds: 0, reward: result.pretrained.reward });
      expect(reached.curve[2]!.forwards).toBe(reached.forwards);
      expect(reached.curve[2]!.seconds).toBeGreaterThan(reached.curve[1]!.seconds);
    }
    expect(Math.abs(result.floor.mmdSquared)).toBeLessThan(5e-3);
    expect(result.summary.reward.mean).toBeCloseTo((result.runs[0]!.reward + result.runs[1]!.reward) / 2, 10);
  });

  it('trains the same network on exact samples, once a seed, unless told not to', async () => {
    const path = file(sound);
    const args = ['--problem', path, '--steps', '60', '--modes', ...small];
    const { code, stdout, stderr } = await run(...args, '--seeds', '2');
    expect(code).toBe(0);
    const { settings, runs, oracle, exact, pretrained } = JSON.parse(stdout) as FidelityResult;
    expect(settings).toMatchObject({ oracle: true, algorithm: { modes: { gain: 8 }, C: 0.6 } });
    expect(oracle!.runs.map(({ seed }) => seed)).toEqual([0, 1]);
    expect(oracle!.runs[0]).toMatchObject({ forwards: 60 * 4 * 64, vjps: 0, backwards: 60 * 4 * 64 });
    expect(Math.abs(oracle!.summary.reward.mean - exact.reward)).toBeLessThan(
      Math.abs(pretrained.reward - exact.reward) / 2,
    );
    for (const { modeWeights, totalVariation } of [...runs, ...oracle!.runs]) {
      const differences = modeWeights.map((weight, mode) => Math.abs(weight - exact.modeWeights[mode]!));
      expect(totalVariation).toBeCloseTo(differences.reduce((sum, value) => sum + value) / 2, 12);
    }
    expect(stderr).toMatch(/^oracle 1 /m);

    const without = await run(...args, '--no-oracle');
    const alone = JSON.parse(without.stdout) as FidelityResult;
    expect(alone).not.toHaveProperty('oracle');
    expect(alone.runs[0]!.reward).toBe(runs[0]!.reward);
  });

  it('reads a problem file of any dimension, equal weights and no reward terms but one', async () => {
    const path = file({
      means: [
        [0, 0, 1],
        [1, 0, 0],
      ],
      std: 0.5,
      reward: { linear: [1, 0, 0] },
      lambda: 0.5,
    });
    const { code, stdout } = await run('--problem', path, '--steps', '2', ...small, '--quiet');
    expect(code).toBe(0);
    const { problem: read } = JSON.parse(stdout) as FidelityResult;
    expect(read).toMatchObject({ weights: [0.5, 0.5], reward: { quadratic: [0, 0, 0], center: [0, 0, 0] } });
  });

  const sound = {
    means: [
      [0, 0],
      [1, 1],
    ],
    std: 1,
    reward: { linear: [1, 0] },
    lambda: 1,
  };
  it.each([
    { value: { ...sound, std: 0 }, message: /std: expected a number above 0, got 0/ },
    { value: { ...sound, means: [[0, 0], [1]] }, message: /means\[1\]: expected 2 numbers, as many as means\[0\]/ },
    { value: { ...sound, weights: [1] }, message: /weights: expected 2 numbers, as many as there are means/ },
    { value: { ...sound, weights: [1, 0] }, message: /weights\[1\]: expected a number above 0/ },
    { value: { ...sound, reward: { linear: [1] } }, message: /reward\.linear: expected 2 numbers/ },
    { value: { ...sound, reward: { linaer: [1, 0] } }, message: /reward\.linaer: unknown key; did you mean "linear"/ },
    {
      value: { ...sound, reward: { quadratic: [0, -2] } },
      message: /reward\.quadratic\[1\]: expected a number above -1, .*, got -2$/m,
    },
    { value: { ...sound, lambda: 'much' }, message: /lambda: expected a number/ },
  ])('refuses $value', async ({ value, message }) => {
    const { code, stderr, stdout } = await run('--problem', file(value), '--quiet');
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
    expect(stdout).toBe('');
  });

  it.each([
    { args: ['--set', 'algorithm.C=0.4'], message: /algorithm\.C: expected a number above 0\.5/ },
    { args: ['--set', 'algorithm.lambda=3'], message: /algorithm\.lambda: got 3, but the problem's lambda is 1/ },
    { args: ['--set', 'algorithm=3'], message: /algorithm: expected an object/ },
    { args: ['--set', 'network.breadth=3'], message: /network\.breadth: unknown key/ },
    { args: ['--seeds', '0'], message: /--seeds/ },
    { args: ['--modes', '--algorithm', 'am'], message: /algorithm\.modes: unknown key/ },
    { args: ['--algorithm', 'ppo'], message: /Allowed choices are eam, am/ },
  ])('ends with bad usage for $args', async ({ args, message }) => {
    const { code, stderr } = await run('--problem', 'overlapping', '--quiet', ...args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  it('says which file it could not read', async () => {
    const { code, stderr } = await run('--problem', 'overlaping');
    expect(stderr).toMatch(/cannot read overlaping/);
    expect(code).toBe(2);
  });
});
