#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nn/layers/stored_weights.h"
#include "nn/layers/text_encoder.h"

namespace eam::nn {

enum class T5FeedForward {
  gated_gelu,  // T5 v1.1: wo(gelu(wi_0 x) ⊙ wi_1 x), gelu by its tanh approximation
  relu,        // T5: wo(relu(wi x))
};

struct T5EncoderConfig {
  int64_t vocabulary = 0;
  int64_t width = 0;
  int64_t key_width = 0;  // of a head; heads · key_width need not be width
  int64_t intermediate = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t relative_buckets = 32;
  int64_t relative_max_distance = 128;  // tokens; all that is further away shares a bucket
  double layer_norm_epsilon = 1e-6;
  T5FeedForward feed_forward = T5FeedForward::gated_gelu;
};

// The encoder of T5 (arXiv 1910.10683): encoder.*, shared.weight. Every token of a row is attended to, padding
// included, as Stable Diffusion 3 has it. The states between the layers and each layer's wo are float32 where the
// weights are float16: they exceed its range.
class T5Encoder final : public TextEncoder {
 public:
  // Takes its own tensors; the caller then calls weights.finish().
  T5Encoder(StoredWeights& weights, const T5EncoderConfig& config);

  // hidden [B, L, width]; no pooled feature. Any L.
  Encoded forward(const at::Tensor& ids) const override;

 private:
  struct Block {
    at::Tensor attention_norm, query, key, value, out;
    at::Tensor feed_forward_norm, in, gate, wo;  // gate: of gated_gelu only
  };

  Block block(StoredWeights& weights, int64_t index, bool keep_wo) const;
  at::Tensor norm(const at::Tensor& x, const at::Tensor& weight) const;
  at::Tensor position_bias(int64_t length) const;
  at::Tensor attention(const Block& block, const at::Tensor& x, const at::Tensor& bias) const;
  at::Tensor feed_forward(const Block& block, const at::Tensor& x) const;

  const T5EncoderConfig config_;
  at::Tensor tokens_, relative_bias_, final_norm_;
  std::vector<Block> blocks_;
};

}  // namespace eam::nn
