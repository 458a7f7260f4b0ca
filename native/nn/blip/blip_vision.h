#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "nn/blip/blip_options.h"
#include "nn/layers/layer_norm.h"
#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// BLIP's image encoder (arXiv 2201.12086), a vision transformer (arXiv 2010.11929) under timm's names:
// PREFIX.cls_token, pos_embed, patch_embed.proj, blocks.N.{norm1, attn.{qkv,proj}, norm2, mlp.{fc1,fc2}}, norm.
class BlipVision {
 public:
  // Takes its own tensors; the caller takes the rest and then calls weights.finish().
  BlipVision(StoredWeights& weights, const std::string& prefix, const BlipVisionConfig& config);

  // Normalised pixels [B, 3, image_size, image_size] to one state a token, normalised, the class token first,
  // [B, 1 + patches, width], of the weights' dtype.
  at::Tensor forward(const at::Tensor& pixels) const;

 private:
  struct Block {
    LayerNorm norm1;
    Linear qkv, proj;
    LayerNorm norm2;
    Linear fc1, fc2;
  };

  const BlipVisionConfig config_;
  at::Tensor class_, positions_, patches_, patch_bias_;
  std::vector<Block> blocks_;
  LayerNorm norm_;
};

}  // namespace eam::nn
