#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/flux2/flux2_block.h"
#include "nn/flux2/flux2_options.h"
#include "nn/layers/checkpointing.h"
#include "nn/layers/joint_linear.h"
#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"
#include "nn/layers/time_waves.h"
#include "ops/flow_model.h"

namespace eam::nn {

// FLUX.2's transformer, with the tensors' names and the arithmetic of diffusers' Flux2Transformer2DModel. Everything is
// computed in the weights' dtype, but the rotation by position, which is float32 for half precision.
class Flux2Transformer {
 public:
  // With adapters (lora), the weights are frozen and the adapters train in float32; without, every weight trains.
  // checkpointing: see nn/layers/checkpointing.h, for each block.
  Flux2Transformer(const Flux2TransformerConfig& config, StoredWeights weights, const std::optional<LoraConfig>& lora,
                   bool checkpointing);
  Flux2Transformer(const Flux2Transformer&) = delete;  // layers_ refers to its parts
  Flux2Transformer& operator=(const Flux2Transformer&) = delete;

  // latents [B, in_channels, H, W], a token each place; timesteps float32 [B] in [0, 1000]; embeddings [B, L,
  // joint_attention_dim]; all but the timesteps in the weights' dtype: the noise minus the data, in the latents' shape.
  at::Tensor forward(const at::Tensor& latents, const at::Tensor& timesteps, const at::Tensor& embeddings,
                     bool adapted) const;

  // See LinearLayers.
  void fold() { layers_.fold(); }
  void unfold() { layers_.unfold(); }

  const NamedTensors& weights() const { return weights_; }
  const NamedTensors& trainable() const { return trainable_; }

  // Names of the layers that adapters can be trained on.
  std::vector<std::string> adaptable() const { return adaptable_; }

 private:
  template <class Kind>
  struct Block {
    Kind block;
    std::vector<at::Tensor> trainable;
  };

  std::vector<at::Tensor> run(const Segment& segment, const std::vector<at::Tensor>& inputs,
                              const std::vector<at::Tensor>& trainable, bool adapted) const;

  const Flux2TransformerConfig config_;
  const bool adapted_, checkpointing_;
  const TimeWaves waves_;
  Linear time_in_, time_out_, image_in_, context_in_;
  Linear image_modulation_, context_modulation_, single_modulation_;
  std::vector<Block<Flux2DoubleBlock>> double_blocks_;
  std::vector<Block<Flux2SingleBlock>> single_blocks_;
  Linear final_modulation_, final_linear_;
  JointLinear modulation_;
  LinearLayers layers_;
  NamedTensors weights_, trainable_;
  std::vector<std::string> adaptable_;
};

}  // namespace eam::nn
