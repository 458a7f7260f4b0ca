#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

// How far apart two sets of samples are. Samples are [N, …] floating-point, flattened to [N, d]; memory stays bounded
// whatever N, because pairs are visited a block at a time. Error(shape) names what does not fit.
namespace eam::ops {

// The median Euclidean distance over all pairs of different samples, of the first 2000.
double median_distance(const at::Tensor& samples);

// The mean over all pairs of k(x, y) = mean over h of exp(−‖x − y‖²/(2h²)).
double mean_kernel(const at::Tensor& x, const at::Tensor& y, const std::vector<double>& bandwidths);

// The mean kernel over the pairs of different samples of one set. With it the unbiased estimate of MMD² (Gretton et
// al., 2012) is mean_kernel(x) + mean_kernel(y) − 2 mean_kernel(x, y).
double mean_kernel(const at::Tensor& samples, const std::vector<double>& bandwidths);

// Sliced Wasserstein-2 distance between two sets of as many samples: the root of the mean, over `projections` random
// directions, of the squared distance between the sorted projections. Directions are Philox normals of (seed, stream
// 0).
double sliced_wasserstein(const at::Tensor& x, const at::Tensor& y, int64_t projections, uint64_t seed);

// Differential entropy in nats by the k-th nearest neighbour (Kozachenko and Leonenko, 1987; Kraskov et al., 2004):
// ψ(N) − ψ(k) + log V_d + d mean log ρ_k, ρ_k the distance to a sample's k-th neighbour, 1 ≤ k < N.
double entropy(const at::Tensor& samples, int64_t k);

}  // namespace eam::ops
