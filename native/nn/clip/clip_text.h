#pragma once

#include <ATen/core/Tensor.h>

#include "nn/clip/clip_options.h"
#include "nn/clip/clip_tower.h"
#include "nn/layers/text_encoder.h"

namespace eam::nn {

// CLIP's text tower with its projection: text_model.*, text_projection.weight.
class ClipText final : public TextEncoder {
 public:
  // Takes its own tensors; the caller takes the rest and then calls weights.finish().
  ClipText(StoredWeights& weights, const ClipTextConfig& config);

  // hidden [B, L, width]: what the last layer is given, not normalised, which Stable Diffusion 3 reads; pooled
  // [B, projection]: the projected state, normalised after the last layer, at the end token. Error(shape) also for a
  // text without that token.
  Encoded forward(const at::Tensor& ids, const at::Tensor& mask) const override;

 private:
  at::Tensor end_positions(const at::Tensor& ids) const;

  const ClipTextConfig config_;
  at::Tensor tokens_, positions_;
  ClipTower tower_;
  LayerNorm final_norm_;
  Linear projection_;
};

}  // namespace eam::nn
