// Gaussian mixtures, whose tilted targets are known in closed form, and distances between samples, [N, …] with d
// numbers each; documented in native/ops/{gaussian_mixture,distances}.h.

import type { Tensor } from '../tensor.js';

/** Σ weights_i N(means_i, diag(variances_i)). */
export interface GaussianMixture {
  means: readonly (readonly number[])[];
  variances: readonly (readonly number[])[];
  weights: readonly number[];
}

export interface FidelityBinding {
  /** Independent samples, float32 [count, d]. */
  drawMixture(mixture: GaussianMixture, count: number, seed: bigint, device: string): Promise<Tensor>;
  mixtureMeanLogDensity(mixture: GaussianMixture, samples: Tensor): Promise<number>;
  /** The modes' weights under which the samples are most likely. */
  fitMixtureWeights(mixture: GaussianMixture, samples: Tensor): Promise<number[]>;
  medianDistance(samples: Tensor): Promise<number>;
  /** Mean of Gaussian kernels over all pairs; without y over the pairs of different samples of x. */
  meanKernel(x: Tensor, y: Tensor | undefined, bandwidths: readonly number[]): Promise<number>;
  slicedWasserstein(x: Tensor, y: Tensor, projections: number, seed: bigint): Promise<number>;
  /** Differential entropy in nats, by distances to the k-th nearest neighbours. */
  entropy(samples: Tensor, k: number): Promise<number>;
  /** Mean Euclidean distance over all pairs of rows. */
  meanPairwiseDistance(features: Tensor): Promise<number>;
  /** Mean of 1 − cosine over all pairs of rows. */
  meanPairwiseCosineDistance(features: Tensor): Promise<number>;
}
