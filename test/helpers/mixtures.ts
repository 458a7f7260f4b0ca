// Small problems of `eam fidelity`, with densities and rewards computed as they are defined.
import { problemSchema, type Problem } from '../../lib/jobs/fidelity/problem.js';
import type { GaussianMixture } from '../../lib/runtime/native/binding.js';

export const problem = (value: object): Problem => problemSchema.parse(value);

export const lopsided = problem({
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

export const inOneDimension = problem({
  means: [[-2], [1]],
  std: 0.5,
  weights: [3, 1],
  reward: { linear: [1.2], quadratic: [0.6], center: [0.4] },
  lambda: 0.8,
});

export const rewardOf = ({ reward: { linear, quadratic: curvature, center } }: Problem, x: readonly number[]): number =>
  x.reduce((sum, value, j) => sum + linear[j]! * value - 0.5 * curvature[j]! * (value - center[j]!) ** 2, 0);

export const normalDensity = (x: number, mean: number, variance: number): number =>
  Math.exp(-((x - mean) ** 2) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);

export const mixtureDensity = ({ means, variances, weights }: GaussianMixture, x: readonly number[]): number =>
  means.reduce(
    (sum, mean, mode) =>
      sum + weights[mode]! * mean.reduce((product, m, j) => product * normalDensity(x[j]!, m, variances[mode]![j]!), 1),
    0,
  );

export const untilted = ({ means, std, weights }: Problem): GaussianMixture => ({
  means,
  variances: means.map((mean) => mean.map(() => std ** 2)),
  weights,
});

/** Σ f over a grid that covers everything, the rectangle rule, which is exact to rounding for what dies out in time. */
export function visitGrid(dimensions: number, step: number, limit: number, visit: (x: number[]) => void): void {
  const count = Math.round((2 * limit) / step) + 1;
  for (let index = 0; index < count ** dimensions; index++) {
    visit(Array.from({ length: dimensions }, (_, j) => -limit + step * (Math.floor(index / count ** j) % count)));
  }
}
