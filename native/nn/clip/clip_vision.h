#pragma once

#include <ATen/core/Tensor.h>

#include "nn/clip/clip_options.h"
#include "nn/clip/clip_tower.h"

namespace eam::nn {

// CLIP's image tower with its projection: vision_model.*, visual_projection.weight.
class ClipVision {
 public:
  // Takes its own tensors; the caller takes the rest and then calls weights.finish().
  ClipVision(StoredWeights& weights, const ClipVisionConfig& config);

  // Normalised pixels [B, 3, image_size, image_size] to the projected feature [B, projection], of the weights' dtype
  // and not of unit length; differentiable with respect to the pixels. Error(shape) for pixels that do not fit.
  at::Tensor forward(const at::Tensor& pixels) const;

  const ClipVisionConfig& config() const { return config_; }

 private:
  const ClipVisionConfig config_;
  at::Tensor class_, patches_, positions_;
  LayerNorm pre_norm_;
  ClipTower tower_;
  LayerNorm post_norm_;
  Linear projection_;
};

}  // namespace eam::nn
