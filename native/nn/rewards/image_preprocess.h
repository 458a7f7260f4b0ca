#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "nn/rewards/image_reward_options.h"

namespace eam::nn {

// What a published image tower sees of images [B, C, H, W] in [0, 1]: resized by an antialiased bicubic filter
// (a = −½, PIL's), cropped or padded, normalised. Differentiable unless `bytes`, neither rounded nor clamped. A pixel
// that is not finite spoils its own image alone. Any H and W from 1 on: only what is seen of a long image is computed.
class ImagePreprocess {
 public:
  // Error(config) naming the entry that makes no sense. channels: the tower's.
  ImagePreprocess(ImagePreprocessConfig config, int64_t channels);

  // [B, C, size, size], of the images' dtype. Error(shape) for images that do not fit.
  at::Tensor forward(const at::Tensor& images) const;

  const ImagePreprocessConfig& config() const { return config_; }

  // Error(shape), saying what to do about grey images or transparent ones.
  void check(const at::Tensor& images) const;

 private:
  const ImagePreprocessConfig config_;
  const int64_t channels_;
};

}  // namespace eam::nn
