import { ConfigError } from '../../errors.js';
import type { GaussianMixture } from '../../runtime/native/binding.js';
import type { Problem } from './problem.js';
import { expected } from '../../schema/validate.js';

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/**
 * p*(x) ∝ p(x) exp(λ r(x)) in closed form. Each mode N(μ, std² I) times the exponential of a quadratic is a Gaussian of
 * precision P_j = 1/std² + λ quadratic_j and mean m_j = (μ_j/std² + λ (linear_j + quadratic_j center_j))/P_j; its
 * weight is multiplied by the integral, Π_j √(1/(std² P_j)) exp(½ (P_j m_j² − μ_j²/std² − λ quadratic_j center_j²)).
 *
 * @param strength λ; 0 gives the pretrained mixture
 * @throws ConfigError where a precision is not above 0: the tilted density then has no integral
 */
export function tiltedMixture(problem: Problem, strength = problem.lambda): GaussianMixture {
  const {
    means,
    std,
    weights,
    reward: { linear, quadratic, center },
  } = problem;
  const precision = 1 / std ** 2;
  const precisions = quadratic.map((curvature, j) => {
    const tilted = precision + strength * curvature;
    if (tilted > 0) return tilted;
    const what =
      `a number above ${-precision / strength}, below which, with lambda ${strength} and std ${std}, the reward ` +
      'grows ' +
      'faster than the mixture falls, and the target has no density';
    throw new ConfigError(expected(`reward.quadratic[${j}]`, what, curvature));
  });
  const tiltedMeans = means.map((mean) =>
    mean.map((mu, j) => (mu * precision + strength * (linear[j]! + quadratic[j]! * center[j]!)) / precisions[j]!),
  );
  // The factor √(1/(std² P)) is the same for every mode and leaves with the normalisation.
  const logWeights = tiltedMeans.map(
    (tilted, mode) =>
      Math.log(weights[mode]!) +
      sum(tilted.map((m, j) => 0.5 * (precisions[j]! * m ** 2 - precision * means[mode]![j]! ** 2))),
  );
  const largest = Math.max(...logWeights);
  const unnormalised = logWeights.map((value) => Math.exp(value - largest));
  const total = sum(unnormalised);
  return {
    means: tiltedMeans,
    variances: means.map(() => precisions.map((value) => 1 / value)),
    // A mode too unlikely for a number keeps the smallest there is: logarithms stay finite.
    weights: unnormalised.map((value) => Math.max(value / total, Number.MIN_VALUE)),
  };
}

/** E[r] under a mixture, for the problem's reward. */
export function expectedReward({ means, variances, weights }: GaussianMixture, { reward }: Problem): number {
  const { linear, quadratic, center } = reward;
  const ofMode = means.map((mean, mode) =>
    sum(mean.map((m, j) => linear[j]! * m - 0.5 * quadratic[j]! * ((m - center[j]!) ** 2 + variances[mode]![j]!))),
  );
  return sum(ofMode.map((value, mode) => weights[mode]! * value));
}
