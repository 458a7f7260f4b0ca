#include "nn/digits/digit_classifier.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "nn/layers/checks.h"

namespace eam::nn {

namespace {

std::vector<int32_t> to_int32(const at::Tensor& values) {
  const at::Tensor host = values.to(at::kCPU, at::kInt).contiguous();
  return {host.const_data_ptr<int32_t>(), host.const_data_ptr<int32_t>() + host.numel()};
}

}  // namespace

DigitClassifier::DigitClassifier(const DigitClassifierConfig& config, uint64_t seed, at::Device device)
    : config_(config), device_(device), parameters_(seed, at::kFloat, device) {
  if (config.widths.empty()) throw bad_value("widths", "one width a convolution", "none");

  int64_t in = config.channels, size = config.image_size;
  for (size_t i = 0; i < config.widths.size(); ++i) {
    const int64_t out = config.widths[i];
    convolutions_.push_back(layer("conv." + std::to_string(i), {out, in, 3, 3}, in * 9));
    in = out;
    size = (size + 1) / 2;
  }
  features_ = layer("features", {config.features, in * size * size}, in * size * size);
  head_ = layer("head", {config.classes, config.features}, config.features);
  parameters_.require_grad(true);
}

// Variance 1/(3 fan-in), that of PyTorch's default initialisation.
DigitClassifier::Layer DigitClassifier::layer(const std::string& name, at::IntArrayRef shape, int64_t fan_in) {
  const double deviation = std::sqrt(1.0 / (3.0 * static_cast<double>(fan_in)));
  return {parameters_.normal(name + ".weight", shape, deviation), parameters_.zeros(name + ".bias", shape[0])};
}

at::Tensor DigitClassifier::features(const at::Tensor& images) const {
  at::Tensor h = images.to(at::kFloat) * 2 - 1;
  for (const Layer& convolution : convolutions_) {
    h = at::silu(at::convolution(h, convolution.weight, convolution.bias, {2, 2}, {1, 1}, {1, 1}, false, {0, 0}, 1));
  }
  return at::silu(at::linear(h.flatten(1), features_.weight, features_.bias));
}

at::Tensor DigitClassifier::checked_labels(const at::Tensor& images, const std::vector<int64_t>& labels) const {
  const int64_t size = config_.image_size;
  if (images.dim() != 4 || images.size(1) != config_.channels || images.size(2) != size || images.size(3) != size) {
    throw bad_shape("images", words("shape [B, ", config_.channels, ", ", size, ", ", size, "]"), images.sizes());
  }
  check_floating_point("images", images);
  check_device_of("images", images, "the classifier", device_);
  if (static_cast<int64_t>(labels.size()) != images.size(0) || labels.empty()) {
    throw bad_shape("labels", words("one for each of the ", images.size(0), " images, and at least one"),
                    labels.size());
  }
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= 0 && labels[i] < config_.classes) continue;
    throw bad_shape(words("labels[", i, "]"), words("a number from 0 to ", config_.classes - 1), labels[i]);
  }
  return at::tensor(at::ArrayRef<int64_t>(labels), at::kLong).to(device_);
}

Classifier::Reading DigitClassifier::log_probability(const at::Tensor& images, const std::vector<int64_t>& labels,
                                                     bool want_grad) const {
  const at::Tensor index = checked_labels(images, labels).unsqueeze(1);
  at::AutoGradMode grad_mode(want_grad);
  const at::Tensor leaf = images.detach().requires_grad_(want_grad);
  const at::Tensor hidden = features(leaf);
  const at::Tensor logits = at::linear(hidden, head_.weight, head_.bias);
  const at::Tensor chosen = at::log_softmax(logits, 1).gather(1, index).squeeze(1);

  Reading reading;
  if (want_grad) reading.grad = torch::autograd::grad({chosen.sum()}, {leaf})[0];
  const at::Tensor values = chosen.detach().to(at::kCPU).contiguous();
  reading.values.assign(values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel());
  reading.predicted = to_int32(logits.detach().argmax(1));
  reading.features = hidden.detach();
  return reading;
}

Classifier::Step DigitClassifier::accumulate(const at::Tensor& images, const std::vector<int64_t>& labels,
                                             double label_smoothing) const {
  if (!(label_smoothing >= 0 && label_smoothing < 1)) {
    throw bad_value("labelSmoothing", "a number of at least 0 and below 1", label_smoothing);
  }
  const at::Tensor index = checked_labels(images, labels);
  const at::Tensor logits = at::linear(features(images.detach()), head_.weight, head_.bias);
  const at::Tensor loss = at::cross_entropy_loss(logits, index, {}, at::Reduction::Mean, -100, label_smoothing);
  torch::autograd::backward({loss}, {});
  return {loss.item<double>(), logits.detach().argmax(1).eq(index).sum().item<int64_t>()};
}

}  // namespace eam::nn
