#include "nn/image_reward.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "nn/checks.h"

namespace eam::nn {

at::Tensor unit_length(const at::Tensor& x) { return x / x.norm(2, {-1}, /*keepdim=*/true); }

at::Tensor ImageReward::pixels_of(const at::Tensor& images) const {
  return preprocess_.forward(images.to(precision()));
}

void ImageReward::check(const at::Tensor& images, const at::Tensor& ids, const at::Tensor& mask) const {
  preprocess_.check(images);
  if (images.device() != device()) {
    shape_error("images is on ", images.device(), ", the reward is on ", device());
  }
  const int64_t batch = images.size(0);
  const auto matches = [&](const char* name, const at::Tensor& given, bool read) {
    if (given.defined() != read) {
      throw Error(ErrorKind::config, read ? std::string(name) + " is missing: this reward reads prompts"
                                          : std::string("this reward reads no ") + name + "; leave it out");
    }
    if (read && (given.dim() != 2 || given.size(0) != batch)) {
      shape_error(name, " has shape ", given.sizes(), ", expected [", batch, ", L], a row an image");
    }
  };
  matches("ids", ids, inputs().ids);
  matches("mask", mask, inputs().mask);
}

ImageReward::Score ImageReward::score(const at::Tensor& images, const at::Tensor& ids, const at::Tensor& mask,
                                      bool want_grad, int64_t slice) const {
  check(images, ids, mask);
  if (slice < 0) throw Error(ErrorKind::config, "slice is " + std::to_string(slice) + ", expected 0 (all) or more");
  if (want_grad && preprocess_.config().bytes) {
    throw Error(ErrorKind::config,
                "no gradient goes through preprocessing that rounds to bytes; load the reward without it");
  }
  const int64_t batch = images.size(0), step = slice == 0 ? batch : std::min(slice, batch);
  at::AutoGradMode grad_mode(want_grad);
  Score score;
  std::vector<at::Tensor> values, grads;
  for (int64_t first = 0; first < batch; first += step) {
    const int64_t count = std::min(step, batch - first);
    const auto rows = [&](const at::Tensor& x) { return x.defined() ? x.narrow(0, first, count) : x; };
    const at::Tensor leaf = rows(images).detach().requires_grad_(want_grad);
    const at::Tensor scored = this->values(pixels_of(leaf), rows(ids), rows(mask));
    values.push_back(scored.detach().to(at::kFloat));
    if (want_grad) grads.push_back(torch::autograd::grad({scored.sum()}, {leaf})[0]);
  }
  const at::Tensor host = at::cat(values).to(at::kCPU).contiguous();
  score.values.assign(host.const_data_ptr<float>(), host.const_data_ptr<float>() + batch);
  if (want_grad) score.grad = grads.size() == 1 ? grads[0] : at::cat(grads);
  return score;
}

at::Tensor ImageReward::preprocess(const at::Tensor& images) const {
  at::NoGradGuard no_grad;
  return pixels_of(images);
}

at::Tensor ImageReward::features(const at::Tensor& images) const {
  at::NoGradGuard no_grad;
  preprocess_.check(images);
  return unit_length(image_features(pixels_of(images)).to(precision()));
}

}  // namespace eam::nn
