#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nn/layers/stored_weights.h"
#include "nn/layers/text_encoder.h"
#include "nn/t5/t5_options.h"

namespace eam::nn {

// The encoder of T5 (arXiv 1910.10683): encoder.*, shared.weight. Every token of a row is attended to, padding
// included, as Stable Diffusion 3 has it. The states between the layers and each layer's wo are float32 where the
// weights are float16: they exceed its range. In slices, one block's weights are on the device at a time.
class T5Encoder final : public TextEncoder {
 public:
  // Takes its own tensors; the caller then calls weights.finish().
  T5Encoder(StoredWeights& weights, const T5EncoderConfig& config);

  // hidden [B, L, width]; no pooled feature. Any L.
  Encoded forward(const at::Tensor& ids, const at::Tensor& mask) const override;

 private:
  struct Block {
    at::Tensor attention_norm, query, key, value, out;
    at::Tensor feed_forward_norm, in, gate, wo;  // gate: of gated_gelu only
  };

  Block block(StoredWeights& weights, int64_t index) const;
  Block ready(const Block& block) const;
  at::Tensor norm(const at::Tensor& x, const at::Tensor& weight) const;
  at::Tensor position_bias(int64_t length) const;
  at::Tensor attention(const Block& block, const at::Tensor& x, const at::Tensor& bias) const;
  at::Tensor feed_forward(const Block& block, const at::Tensor& x) const;

  const T5EncoderConfig config_;
  at::Tensor tokens_, relative_bias_, final_norm_;
  std::vector<Block> blocks_;
};

}  // namespace eam::nn
