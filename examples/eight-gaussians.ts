// The problem that two of the examples solve: eight Gaussians on a circle, a reward that grows to the right, and the
// exact answer. p*(x) ∝ p(x) e^{λ r(x)} with r(x) = x₀ is again a mixture: each mode moves right by λσ², and its weight
// is multiplied by e^{λ μ₀}.

import { philoxNormalSync, type Tensor } from 'eam-torch';

export const deviation = 0.25;
export const means = Array.from(
  { length: 8 },
  (_, k) => [1.5 * Math.cos((Math.PI / 4) * k), 1.5 * Math.sin((Math.PI / 4) * k)] as const,
);

/** λ: how much the reward counts. */
export const lambda = 1.2;
/** ∇r, the same everywhere. */
export const rewardGradient = [1, 0] as const;

/** Uniform numbers in [0, 1) that are the same in every run (mulberry32). */
export function randomFrom(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let bits = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Fills `points` [count, 2] with samples of the mixture; `normals` is scratch of the same shape. */
export function drawData(points: Float32Array, normals: Tensor, random: () => number, stream: bigint): void {
  const noise = philoxNormalSync(normals.shape, { seed: 1n, stream, out: normals }).dataSync() as Float32Array;
  for (let i = 0; i < points.length; i += 2) {
    const mean = means[Math.floor(random() * means.length)]!;
    points[i] = mean[0] + deviation * noise[i]!;
    points[i + 1] = mean[1] + deviation * noise[i + 1]!;
  }
}

export interface Quality {
  /** Mean reward. */
  reward: number;
  /** How much of the samples lies within three standard deviations of a mode. Of the mixture itself: 0.989. */
  inside: number;
  /**
   * Half the sum of |weight − exact weight| over the modes, in [0, 1]: how much of the samples is in the wrong mode.
   */
  misplaced: number;
}

/** What samples [count, 2] of the mixture, tilted by λ (0: as it is), are worth. */
export function qualityOf(points: Float32Array, tilt: number): Quality {
  const shift = tilt * deviation ** 2;
  const exact = exactWeights(tilt);
  const counts = means.map(() => 0);
  let reward = 0;
  let inside = 0;
  for (let i = 0; i < points.length; i += 2) {
    const distances = means.map(([x, y]) => Math.hypot(points[i]! - x - shift, points[i + 1]! - y));
    const nearest = Math.min(...distances);
    ++counts[distances.indexOf(nearest)]!;
    reward += points[i]!;
    if (nearest <= 3 * deviation) ++inside;
  }
  const count = points.length / 2;
  return {
    reward: reward / count,
    inside: inside / count,
    misplaced: counts.reduce((sum, c, k) => sum + Math.abs(c / count - exact[k]!), 0) / 2,
  };
}

/** E[r] under the tilted mixture. */
export function exactReward(tilt: number): number {
  return exactWeights(tilt).reduce((sum, weight, k) => sum + weight * (means[k]![0] + tilt * deviation ** 2), 0);
}

function exactWeights(tilt: number): number[] {
  const weights = means.map(([x]) => Math.exp(tilt * x));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

export const inWords = ({ reward, inside, misplaced }: Quality): string =>
  `E[r] ${reward.toFixed(3)}, ${(100 * inside).toFixed(1)} % within 3 σ of a mode, ` +
  `${(100 * misplaced).toFixed(1)} % in the wrong one`;

/** `steps` equal steps from 0 to `end`. */
export const timesUpTo = (end: number, steps: number): number[] =>
  Array.from({ length: steps + 1 }, (_, k) => (end * k) / steps);

/** Falls from `first` to zero along a half cosine. */
export const learningRate = (first: number, step: number, steps: number): number =>
  (first * (1 + Math.cos((Math.PI * step) / steps))) / 2;
