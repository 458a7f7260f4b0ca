#include "ops/gaussian_mixture.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/tensor.h>

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
  const size_t modes = mixture.means.size();
  if (modes == 0 || mixture.means[0].empty()) throw bad_value("means", "at least one mode and one dimension", "none");
  if (mixture.variances.size() != modes || mixture.weights.size() != modes) {
    throw bad_value("variances and weights", words("one for each of the ", modes, " means"),
                    words(mixture.variances.size(), " and ", mixture.weights.size()));
  }
  std::vector<double> means, variances;
  for (size_t i = 0; i < modes; ++i) {
    if (mixture.means[i].size() != mixture.means[0].size() || mixture.variances[i].size() != mixture.means[0].size()) {
      throw bad_value(words("means[", i, "] and variances[", i, "]"),
                      words(mixture.means[0].size(), " numbers, as many as means[0]"),
                      words(mixture.means[i].size(), " and ", mixture.variances[i].size()));
    }
    for (const double variance : mixture.variances[i]) {
      if (!(variance > 0)) throw bad_value("variances", "numbers above 0", variance);
    }
    if (!(mixture.weights[i] > 0)) {
      throw bad_value("weights", "numbers above 0", mixture.weights[i]);
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
    throw bad_shape("samples", words("shape [N, …] with ", mixture.means.size(1), " numbers a sample"),
                    samples.sizes());
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
    throw bad_value("count", words("1 to ", kMaxSamples), count);
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
