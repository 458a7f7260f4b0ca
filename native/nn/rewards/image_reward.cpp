#include "nn/rewards/image_reward.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "nn/layers/checks.h"

namespace eam::nn {

namespace {

// Calls work(first, count) for `slice` images after the other, the rest at the end.
template <class Work>
void in_slices(int64_t batch, int64_t slice, Work work) {
  if (slice < 0) throw bad_value("slice", "0 (all) or more", slice);
  const int64_t step = slice == 0 ? batch : std::min(slice, batch);
  for (int64_t first = 0; first < batch; first += step) work(first, std::min(step, batch - first));
}

at::Tensor joined(const std::vector<at::Tensor>& parts) {
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

}  // namespace

at::Tensor unit_length(const at::Tensor& x) {
  return x / x.norm(2, {-1}, /*keepdim=*/true);
}

at::Tensor ImageReward::pixels_of(const at::Tensor& images) const {
  return preprocess_.forward(images.to(precision()));
}

at::Tensor ImageReward::unit_features(const at::Tensor& encoded) const {
  return unit_length(feature(encoded).detach().to(precision()));
}

void ImageReward::check_images(const at::Tensor& images) const {
  preprocess_.check(images);
  check_device_of("images", images, "the reward", device());
}

void ImageReward::check_inputs(const at::Tensor& images, const at::Tensor& ids, const at::Tensor& mask) const {
  const int64_t batch = images.size(0);
  const auto matches = [&](const char* name, const at::Tensor& given, bool read) {
    const std::string shape = words("shape [", batch, ", L], a row an image");
    if (!read && given.defined()) throw bad_value(name, "none, since this reward does not read it", given.sizes());
    if (read && !given.defined()) throw missing_value(name, shape);
    if (read && (given.dim() != 2 || given.size(0) != batch)) throw bad_shape(name, shape, given.sizes());
  };
  matches("ids", ids, inputs().ids);
  matches("mask", mask, inputs().mask);
}

ImageReward::Score ImageReward::score(const at::Tensor& images, const at::Tensor& ids, const at::Tensor& mask,
                                      Wanted wanted, int64_t slice) const {
  check_images(images);
  check_inputs(images, ids, mask);
  if (wanted.grad && preprocess_.config().bytes) {
    throw Error(ErrorKind::config,
                "no gradient goes through preprocessing that rounds to bytes; load the reward without it");
  }
  at::AutoGradMode grad_mode(wanted.grad);
  std::vector<at::Tensor> values, grads, features;
  in_slices(images.size(0), slice, [&](int64_t first, int64_t count) {
    const auto rows = [&](const at::Tensor& x) { return x.defined() ? x.narrow(0, first, count) : x; };
    const at::Tensor leaf = rows(images).detach().requires_grad_(wanted.grad);
    const at::Tensor encoded = encode(pixels_of(leaf));
    const at::Tensor scored = this->values(encoded, rows(ids), rows(mask));
    values.push_back(scored.detach().to(at::kFloat));
    if (wanted.features) features.push_back(unit_features(encoded));
    if (wanted.grad) grads.push_back(torch::autograd::grad({scored.sum()}, {leaf})[0]);
  });
  const at::Tensor host = at::cat(values).to(at::kCPU).contiguous();
  Score score;
  score.values.assign(host.const_data_ptr<float>(), host.const_data_ptr<float>() + host.numel());
  if (wanted.grad) score.grad = joined(grads);
  if (wanted.features) score.features = joined(features);
  return score;
}

at::Tensor ImageReward::preprocess(const at::Tensor& images) const {
  at::NoGradGuard no_grad;
  return pixels_of(images);
}

at::Tensor ImageReward::features(const at::Tensor& images, int64_t slice) const {
  at::NoGradGuard no_grad;
  check_images(images);
  std::vector<at::Tensor> features;
  in_slices(images.size(0), slice, [&](int64_t first, int64_t count) {
    features.push_back(unit_features(encode(pixels_of(images.narrow(0, first, count)))));
  });
  return joined(features);
}

}  // namespace eam::nn
