#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/layers/lora.h"
#include "nn/layers/parameters.h"
#include "nn/layers/stored_weights.h"
#include "nn/sd3/sd3_block.h"

namespace eam::nn {

struct Sd3TransformerConfig {
  int64_t patch_size = 2;
  int64_t in_channels = 16;
  int64_t out_channels = 16;
  int64_t layers = 24;
  int64_t heads = 24;
  int64_t head_dim = 64;
  int64_t joint_attention_dim = 4096;     // of the prompt's embeddings
  int64_t caption_projection_dim = 1536;  // what they are projected to: heads · head_dim
  int64_t pooled_projection_dim = 2048;
  int64_t pos_embed_max_size = 384;  // side, in patches, of the stored table of positions
  std::vector<int64_t> dual_attention_layers;
  bool qk_norm = true;
};

// Error(config) that names the first value that describes no network of ours.
const Sd3TransformerConfig& validated(const Sd3TransformerConfig& config);

// The MMDiT of Stable Diffusion 3 and 3.5 (arXiv 2403.03206), with the tensors' names and the arithmetic of diffusers'
// SD3Transformer2DModel. Everything is computed in the weights' dtype.
class Sd3Transformer {
 public:
  // With adapters (lora), the weights are frozen and the adapters train in float32; without, every weight trains but
  // the table of positions. checkpointing: see nn/checkpointing.h, for each block.
  Sd3Transformer(const Sd3TransformerConfig& config, StoredWeights weights, const std::optional<LoraConfig>& lora,
                 bool checkpointing);

  // latents [B, in_channels, H, W], timesteps float32 [B] in [0, 1000], embeddings [B, L, joint_attention_dim], pooled
  // [B, pooled_projection_dim], all but the timesteps in the weights' dtype: the noise minus the data, in the latents'
  // shape. H and W are multiples of the patch size, at most pos_embed_max_size patches.
  at::Tensor forward(const at::Tensor& latents, const at::Tensor& timesteps, const at::Tensor& embeddings,
                     const at::Tensor& pooled, bool adapted) const;

  const NamedTensors& weights() const { return weights_; }
  const NamedTensors& trainable() const { return trainable_; }

 private:
  struct Block {
    Sd3Block block;
    std::vector<at::Tensor> trainable;
  };

  at::Tensor condition(const at::Tensor& timesteps, const at::Tensor& pooled, bool adapted) const;
  at::Tensor patches(const at::Tensor& latents) const;
  at::Tensor positions(int64_t rows, int64_t columns) const;
  std::vector<at::Tensor> run(const Block& block, const std::vector<at::Tensor>& streams, bool adapted) const;

  const Sd3TransformerConfig config_;
  const bool adapted_, checkpointing_;
  at::Tensor frequencies_;  // of the time embedding
  at::Tensor patch_weight_, patch_bias_, positions_;
  Linear time_in_, time_out_, pooled_in_, pooled_out_, context_in_;
  std::vector<Block> blocks_;
  Linear final_modulation_, final_linear_;
  NamedTensors weights_, trainable_;
};

}  // namespace eam::nn
