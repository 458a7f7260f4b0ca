#include "nn/mixture/gaussian_mixture.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <numbers>
#include <sstream>

#include "ops/error.h"

namespace eam::nn {

namespace {

constexpr int64_t time_frequencies = 4;  // cos and sin of π t, 2π t, 3π t, 4π t

const GaussianMixtureConfig& validated(const GaussianMixtureConfig& config, at::ScalarType dtype) {
  if (config.means.empty()) throw bad_value("means", "at least one mode", "none");
  const size_t dimensions = config.means[0].size();
  if (dimensions == 0) throw bad_value("means[0]", "at least one dimension", "none");
  for (size_t i = 0; i < config.means.size(); ++i) {
    const size_t count = config.means[i].size();
    if (count != dimensions) {
      throw bad_value(words("means[", i, "]"), words(dimensions, " numbers, as many as means[0]"), count);
    }
  }
  if (config.weights.size() != config.means.size()) {
    throw bad_value("weights", words(config.means.size(), " numbers, one for each mode"), config.weights.size());
  }
  if (dtype != at::kFloat && dtype != at::kDouble) throw bad_value("dtype", "\"float32\" or \"float64\"", dtype);
  return config;
}

// Mean over the dimensions of the mixture's variance: that of a mode and that of the means.
double variance_of(const GaussianMixtureConfig& config) {
  double total = 0, variance = 0;
  for (const double weight : config.weights) total += weight;
  const size_t dimensions = config.means[0].size();
  for (size_t d = 0; d < dimensions; ++d) {
    double center = 0, square = 0;
    for (size_t i = 0; i < config.means.size(); ++i) {
      center += config.weights[i] / total * config.means[i][d];
      square += config.weights[i] / total * config.means[i][d] * config.means[i][d];
    }
    variance += (square - center * center) / static_cast<double>(dimensions);
  }
  return config.std * config.std + variance;
}

double he(int64_t in) {
  return std::sqrt(2.0 / static_cast<double>(in));
}

}  // namespace

GaussianMixtureModel::GaussianMixtureModel(const GaussianMixtureConfig& config, uint64_t seed, at::ScalarType dtype,
                                           at::Device device)
    : dtype_(dtype),
      device_(device),
      variance_(validated(config, dtype).std * config.std),
      latent_variance_(variance_of(config)),
      parameters_(seed, at::kFloat, device) {
  const auto modes = static_cast<int64_t>(config.means.size());
  const auto dimensions = static_cast<int64_t>(config.means[0].size());
  std::vector<double> means;
  for (const std::vector<double>& mean : config.means) means.insert(means.end(), mean.begin(), mean.end());
  const at::Tensor mu = at::tensor(means, at::kDouble).view({modes, dimensions});
  const at::Tensor weights = at::tensor(config.weights, at::kDouble);
  means_ = mu.to(device, dtype);
  half_norms_ = mu.square().sum(1).div(2).unsqueeze(0).to(device, dtype);
  log_weights_ = weights.div(weights.sum()).log().unsqueeze(0).to(device, dtype);

  const at::Tensor multiples = at::arange(1, time_frequencies + 1, at::kDouble).mul(std::numbers::pi);
  frequencies_ = at::cat({multiples, multiples}).unsqueeze(0).to(device, at::kFloat);
  const at::Tensor zeros = at::zeros({time_frequencies}, at::kDouble);
  phases_ = at::cat({zeros, zeros + std::numbers::pi / 2}).unsqueeze(0).to(device, at::kFloat);

  int64_t in = dimensions + 2 * time_frequencies;
  for (int64_t i = 0; i < config.depth; ++i) {
    layers_.emplace_back(parameters_, "control." + std::to_string(i), in, config.width, he(in));
    in = config.width;
  }
  layers_.emplace_back(parameters_, "control.out", in, dimensions, 0);
  parameters_.require_grad(true);
}

void GaussianMixtureModel::check(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) const {
  if (x.dim() != 2 || x.size(1) != means_.size(1) || !x.is_floating_point()) {
    throw bad_shape("x", words("floating-point [B, ", means_.size(1), "]"), words(x.scalar_type(), " ", x.sizes()));
  }
  const int64_t batch = x.size(0);
  if (t.dim() != 1 || t.size(0) != batch) {
    throw bad_shape("t", words("[", batch, "], one time a sample of x"), t.sizes());
  }
  if (conditioning.size() != 1 || conditioning[0].dim() == 0 || conditioning[0].size(0) != batch) {
    throw bad_shape("conditioning", words("one tensor with a row for each of the ", batch, " samples"),
                    words(conditioning.size(), " tensors"));
  }
  if (x.device() != device_) throw bad_shape("x", words("the model's device, ", device_), x.device());
}

at::Tensor GaussianMixtureModel::velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) {
  return pretrained_velocity(x, t, conditioning) + control(x, t).to(x.scalar_type());
}

at::Tensor GaussianMixtureModel::pretrained_velocity(const at::Tensor& x, const at::Tensor& t,
                                                     const Conditioning& conditioning) {
  check(x, t, conditioning);
  const at::Tensor y = x.to(dtype_);
  const at::Tensor time = t.to(device_, dtype_).unsqueeze(1), rest = 1 - time;
  const at::Tensor inverse = at::reciprocal(at::addcmul(time.square().mul(variance_), rest, rest));  // 1/s²
  // log w_i − ‖x − t μ_i‖²/(2 s²), without the terms that all modes share.
  const at::Tensor logits =
      at::addcmul(log_weights_, time * inverse, at::sub(at::matmul(y, means_.t()), time * half_norms_));
  const at::Tensor mean = at::matmul(at::softmax(logits, 1), means_);
  return at::addcmul((rest * inverse) * mean, at::sub(time * variance_, rest) * inverse, y).to(x.scalar_type());
}

at::Tensor GaussianMixtureModel::control(const at::Tensor& x, const at::Tensor& t) const {
  const at::Tensor time = t.to(device_, at::kFloat).unsqueeze(1);
  at::Tensor h = at::cat({x.to(at::kFloat), at::addcmul(phases_, time, frequencies_).sin_()}, 1);
  for (size_t i = 0; i + 1 < layers_.size(); ++i) h = at::silu(layers_[i].forward(h, false));
  return layers_.back().forward(h, false);
}

at::Tensor GaussianMixtureModel::images(const at::Tensor& latents) {
  return latents.view({latents.size(0), latents.size(1), 1, 1});
}

}  // namespace eam::nn
