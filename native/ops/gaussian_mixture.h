#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace eam::ops {

// Σ_i weights_i N(means_i, diag(variances_i)). Error(config) for lengths that do not agree, weights or variances that
// are not above 0.
struct GaussianMixture {
  std::vector<std::vector<double>> means, variances;  // [modes][d]
  std::vector<double> weights;                        // [modes]; normalised where they are read
};

// Independent samples, float32 [count, d]. Sample i depends on the seed and i alone.
at::Tensor draw(const GaussianMixture& mixture, int64_t count, uint64_t seed, at::Device device);

// The mean over samples [N, …] of log p(x), in float64.
double mean_log_density(const GaussianMixture& mixture, const at::Tensor& samples);

// The weights under which the samples [N, …] are most likely, the modes' shapes given: expectation–maximisation from
// equal weights, so that it leans to no particular answer. The problem is convex; `mixture.weights` is not read.
std::vector<double> fit_weights(const GaussianMixture& mixture, const at::Tensor& samples);

}  // namespace eam::ops
