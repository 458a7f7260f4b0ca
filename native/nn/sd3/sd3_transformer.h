#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/layers/joint_linear.h"
#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"
#include "nn/layers/time_waves.h"
#include "nn/sd3/sd3_block.h"
#include "nn/sd3/sd3_options.h"

namespace eam::nn {

// The MMDiT of Stable Diffusion 3 and 3.5 (arXiv 2403.03206), with the tensors' names and the arithmetic of diffusers'
// SD3Transformer2DModel. Everything is computed in the weights' dtype.
class Sd3Transformer {
 public:
  // With adapters (lora), the weights are frozen and the adapters train in float32; without, every weight trains but
  // the table of positions. checkpointing: see nn/layers/checkpointing.h, for each block.
  Sd3Transformer(const Sd3TransformerConfig& config, StoredWeights weights, const std::optional<LoraConfig>& lora,
                 bool checkpointing);
  Sd3Transformer(const Sd3Transformer&) = delete;  // layers_ refers to its parts
  Sd3Transformer& operator=(const Sd3Transformer&) = delete;

  // latents [B, in_channels, H, W], timesteps float32 [B] in [0, 1000], embeddings [B, L, joint_attention_dim], pooled
  // [B, pooled_projection_dim], all but the timesteps in the weights' dtype: the noise minus the data, in the latents'
  // shape. H and W are multiples of the patch size, at most pos_embed_max_size patches.
  at::Tensor forward(const at::Tensor& latents, const at::Tensor& timesteps, const at::Tensor& embeddings,
                     const at::Tensor& pooled, bool adapted) const;

  // See LinearLayers.
  void fold() { layers_.fold(); }
  void unfold() { layers_.unfold(); }

  const NamedTensors& weights() const { return weights_; }
  const NamedTensors& trainable() const { return trainable_; }

  // Names of the layers that adapters can be trained on.
  std::vector<std::string> adaptable() const { return adaptable_; }

 private:
  struct Block {
    Sd3Block block;
    std::vector<at::Tensor> trainable;
  };

  at::Tensor condition(const at::Tensor& timesteps, const at::Tensor& pooled, bool adapted) const;
  at::Tensor patches(const at::Tensor& latents) const;
  at::Tensor positions(int64_t rows, int64_t columns) const;
  std::vector<at::Tensor> run(const Block& block, const std::vector<at::Tensor>& streams, bool adapted) const;
  std::vector<at::Tensor> modulations(const at::Tensor& condition, bool adapted) const;

  const Sd3TransformerConfig config_;
  const bool adapted_, checkpointing_;
  const TimeWaves waves_;
  at::Tensor patch_weight_, patch_bias_, positions_;
  Linear time_in_, time_out_, pooled_in_, pooled_out_, context_in_;
  std::vector<Block> blocks_;
  Linear final_modulation_, final_linear_;
  JointLinear modulation_;
  JointLinear::Layers modulated_;  // two of each block, then the final one
  LinearLayers layers_;
  NamedTensors weights_, trainable_;
  std::vector<std::string> adaptable_;
};

}  // namespace eam::nn
