#pragma once

#include <memory>
#include <optional>

#include "nn/clip/clip_text.h"
#include "nn/clip/clip_vision.h"
#include "nn/layers/linear_stack.h"
#include "nn/rewards/image_reward.h"
#include "nn/rewards/image_reward_options.h"

namespace eam::nn {

// The rewards that compare CLIP's features or score them.
class ClipReward final : public ImageReward {
 public:
  // tensors: of both towers, and of the linear stack where there is one, head.layers.N.{weight,bias}. dtype: of the
  // towers; none: as stored; the head has single precision at least. Error(checkpoint) lists what does not fit.
  ClipReward(const ClipRewardConfig& config, const NamedTensors& tensors, std::optional<at::ScalarType> dtype,
             at::Device device);

 private:
  Inputs inputs() const override { return {.ids = text_ != nullptr, .mask = false}; }
  at::Tensor encode(const at::Tensor& pixels) const override { return vision_->forward(pixels); }
  at::Tensor values(const at::Tensor& encoded, const at::Tensor& ids, const at::Tensor& mask) const override;
  at::Tensor feature(const at::Tensor& encoded) const override { return encoded; }
  at::ScalarType precision() const override { return precision_; }
  at::Device device() const override { return device_; }

  const at::Device device_;
  at::ScalarType precision_ = at::kFloat;
  std::unique_ptr<ClipVision> vision_;
  std::unique_ptr<ClipText> text_;
  std::unique_ptr<LinearStack> head_;
  at::Tensor scale_;
};

}  // namespace eam::nn
