#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nn/layers/stored_weights.h"
#include "nn/layers/text_encoder.h"
#include "nn/qwen3/qwen3_options.h"

namespace eam::nn {

// Qwen3 (arXiv 2505.09388) without its head, with the names and the arithmetic of transformers' Qwen3ForCausalLM. A
// token attends to itself and to those before it, and to no padding. Layers above the last state that is read are left
// out.
class Qwen3Encoder final : public TextEncoder {
 public:
  // Takes its own tensors; the caller then calls weights.finish().
  Qwen3Encoder(StoredWeights& weights, const Qwen3EncoderConfig& config);

  // hidden [B, L, states · width]; no pooled feature. Any L. A text begins its row: mask is true, then false.
  Encoded forward(const at::Tensor& ids, const at::Tensor& mask) const override;

 private:
  struct Block {
    at::Tensor attention_norm, query, key, value, out, query_norm, key_norm;
    at::Tensor feed_forward_norm, gate, up, down;
  };

  Block block(StoredWeights& weights, int64_t index) const;
  at::Tensor norm(const at::Tensor& x, const at::Tensor& weight) const;
  at::Tensor attention(const Block& block, const at::Tensor& x, const at::Tensor& seen, const at::Tensor& cosines,
                       const at::Tensor& sines) const;
  at::Tensor feed_forward(const Block& block, const at::Tensor& x) const;

  const Qwen3EncoderConfig config_;
  at::Tensor tokens_;
  std::vector<Block> blocks_;
};

}  // namespace eam::nn
