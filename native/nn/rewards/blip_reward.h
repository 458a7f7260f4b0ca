#pragma once

#include <memory>
#include <optional>

#include "nn/blip/bert.h"
#include "nn/blip/blip_vision.h"
#include "nn/layers/linear_stack.h"
#include "nn/rewards/image_reward.h"
#include "nn/rewards/image_reward_options.h"

namespace eam::nn {

// ImageReward (arXiv 2304.05977): a text encoder attends to the image, linear layers read the state of its first token;
// (head − mean) / std. Tensors blip.visual_encoder.*, blip.text_encoder.*, mlp.layers.*.
class BlipReward final : public ImageReward {
 public:
  // dtype: of the encoders; none: as stored; the head has single precision at least. Error(checkpoint) lists what does
  // not fit.
  BlipReward(const BlipRewardConfig& config, const NamedTensors& tensors, std::optional<at::ScalarType> dtype,
             at::Device device);

 private:
  Inputs inputs() const override { return {.ids = true, .mask = true}; }
  at::Tensor encode(const at::Tensor& pixels) const override { return vision_->forward(pixels); }
  at::Tensor values(const at::Tensor& encoded, const at::Tensor& ids, const at::Tensor& mask) const override;
  at::Tensor feature(const at::Tensor& encoded) const override { return encoded.select(1, 0); }
  at::ScalarType precision() const override { return precision_; }
  at::Device device() const override { return device_; }

  const at::Device device_;
  const double mean_, std_;
  at::ScalarType precision_ = at::kFloat;
  std::unique_ptr<BlipVision> vision_;
  std::unique_ptr<Bert> text_;
  std::unique_ptr<LinearStack> head_;
};

}  // namespace eam::nn
