#include "ops/gaussian_mixture.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <numeric>
#include <string>

#include "ops/checks.h"
#include "ops/error.h"
#include "ops/ops.h"
#include "ops/random.h"

namespace eam::ops {

namespace {

constexpr int max_iterations = 1000;
constexpr double converged = 1e-7;  // change of a weight in one iteration

// Validated, as float64 tensors.
struct Tensors {
  at::Tensor means, variances;  // [modes, d]
  at::Tensor weights;           // [modes], sum 1
};

Tensors tensors(const GaussianMixture& mixture, at::Device device) {
  const auto refuse = [](const std::string& message) { throw Error(ErrorKind::config, message); };
  const size_t modes = mixture.means.size();
  if (modes == 0 || mixture.means[0].empty()) refuse("means is empty, expected at least one mode and one dimension");
  if (mixture.variances.size() != modes || mixture.weights.size() != modes) {
    refuse("variances has " + std::to_string(mixture.variances.size()) + " entries and weights " +
           std::to_string(mixture.weights.size()) + ", expected one for each of the " + std::to_string(modes) +
           " means");
  }
  std::vector<double> means, variances;
  for (size_t i = 0; i < modes; ++i) {
    if (mixture.means[i].size() != mixture.means[0].size() || mixture.variances[i].size() != mixture.means[0].size()) {
      refuse("means[" + std::to_string(i) + "] and variances[" + std::to_string(i) + "] must have " +
             std::to_string(mixture.means[0].size()) + " numbers, as many as means[0]");
    }
    for (const double variance : mixture.variances[i]) {
      if (!(variance > 0)) refuse("variances has " + describe(variance) + ", expected numbers above 0");
    }
    if (!(mixture.weights[i] > 0)) {
      refuse("weights has " + describe(mixture.weights[i]) + ", expected numbers above 0");
    }
    means.insert(means.end(), mixture.means[i].begin(), mixture.means[i].end());
    variances.insert(variances.end(), mixture.variances[i].begin(), mixture.variances[i].end());
  }
  const std::vector<int64_t> shape = {static_cast<int64_t>(modes), static_cast<int64_t>(mixture.means[0].size())};
  const at::Tensor weights = at::tensor(mixture.weights, at::kDouble);
  return {at::tensor(means, at::kDouble).view(shape).to(device),
          at::tensor(variances, at::kDouble).view(shape).to(device), weights.div(weights.sum()).to(device)};
}

// log N(x; mean_i, diag variance_i): [N, modes]. Expanded squares, in float64: one matrix product instead of N × modes
// × d differences.
at::Tensor component_log_densities(const Tensors& mixture, const at::Tensor& samples) {
  check_floating(samples, "samples");
  const at::Tensor x = samples.flatten(1).to(at::kDouble);
  if (samples.dim() < 2 || x.size(1) != mixture.means.size(1)) {
    throw Error(ErrorKind::shape, "samples has shape " + describe(samples.sizes()) + ", expected [N, …] with " +
                                      std::to_string(mixture.means.size(1)) + " numbers a sample");
  }
  const at::Tensor precisions = mixture.variances.reciprocal();
  const at::Tensor constant =
      (mixture.means.square() * precisions + mixture.variances.log() + std::log(2 * std::numbers::pi)).sum(1).mul(-0.5);
  return constant + at::matmul(x, (mixture.means * precisions).t()) - at::matmul(x.square(), precisions.t()) / 2;
}

}  // namespace

at::Tensor draw(const GaussianMixture& mixture, int64_t count, uint64_t seed, at::Device device) {
  const Tensors parts = tensors(mixture, at::kCPU);
  if (count < 1 || count > kMaxSamples) {
    throw Error(ErrorKind::config,
                "count is " + std::to_string(count) + ", expected 1 to " + std::to_string(kMaxSamples));
  }
  PhiloxNoise normals{seed, std::vector<uint64_t>(count)}, uniforms = normals;
  for (int64_t i = 0; i < count; ++i) {
    normals.streams[i] = stream_of(0, i, Purpose::initial_noise);
    uniforms.streams[i] = stream_of(0, i, Purpose::data);
  }
  const at::Tensor modes = at::searchsorted(parts.weights.cumsum(0), at::tensor(philox_uniform(uniforms), at::kDouble))
                               .clamp_max(parts.weights.size(0) - 1);
  const at::Tensor noise = philox_normal({count, parts.means.size(1)}, normals, at::kDouble, at::kCPU);
  return at::addcmul(parts.means.index_select(0, modes), parts.variances.sqrt().index_select(0, modes), noise)
      .to(device, at::kFloat);
}

double mean_log_density(const GaussianMixture& mixture, const at::Tensor& samples) {
  const Tensors parts = tensors(mixture, samples.device());
  return at::logsumexp(component_log_densities(parts, samples) + parts.weights.log(), {1}).mean().item<double>();
}

std::vector<double> fit_weights(const GaussianMixture& mixture, const at::Tensor& samples) {
  const Tensors parts = tensors(mixture, samples.device());
  const at::Tensor log_densities = component_log_densities(parts, samples);
  // Relative to the likeliest mode of each sample, so that a far-away sample still has one.
  const at::Tensor densities = at::exp(log_densities - std::get<0>(log_densities.max(1, true)));
  at::Tensor weights = at::full_like(parts.weights, 1.0 / static_cast<double>(parts.weights.size(0)));
  for (int i = 0; i < max_iterations; ++i) {
    const at::Tensor joint = densities * weights;
    const at::Tensor next = (joint / joint.sum(1, true)).mean(0);
    const double change = (next - weights).abs().max().item<double>();
    weights = next;
    if (change < converged) break;
  }
  weights = weights.to(at::kCPU).contiguous();
  return {weights.const_data_ptr<double>(), weights.const_data_ptr<double>() + weights.numel()};
}

}  // namespace eam::ops
