#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nn/flux2/flux2_options.h"
#include "nn/layers/attention_projections.h"
#include "nn/layers/joint_linear.h"
#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// Two linear layers with SwiGLU between them (arXiv 2002.05202): W_out (silu(a) ⊙ b), (a, b) = W_in x.
class SwiGluFeedForward {
 public:
  SwiGluFeedForward(StoredWeights& weights, const std::string& prefix, int64_t width, int64_t inner);
  at::Tensor forward(const at::Tensor& tokens, bool adapted) const;
  void list(LinearLayers& layers);

 private:
  Linear in_, out_;
};

// A block of FLUX.2 with two streams of tokens, image and context, that have weights of their own and a joint
// attention; modulations, which all such blocks share, come from outside.
class Flux2DoubleBlock {
 public:
  Flux2DoubleBlock(StoredWeights& weights, const std::string& prefix, const Flux2TransformerConfig& config);

  // image [B, N, width], context [B, L, width]; their modulations [B, 6 · width]; positions as rotary_positions has
  // them. Both streams after the block.
  std::vector<at::Tensor> forward(const at::Tensor& image, const at::Tensor& context,
                                  const at::Tensor& image_modulation, const at::Tensor& context_modulation,
                                  const at::Tensor& positions, bool adapted) const;
  void list(LinearLayers& layers);

 private:
  const int64_t heads_;
  const double epsilon_;
  AttentionProjections image_in_, context_in_;
  Linear image_out_, context_out_;
  SwiGluFeedForward image_feed_forward_, context_feed_forward_;
};

// A block with one stream that holds context and image. Attention and feed-forward layers run beside each other, their
// inputs from one product and their outputs into one (as in arXiv 2302.05442).
class Flux2SingleBlock {
 public:
  Flux2SingleBlock(StoredWeights& weights, const std::string& prefix, const Flux2TransformerConfig& config);

  // tokens [B, L + N, width], modulation [B, 3 · width].
  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& modulation, const at::Tensor& positions,
                     bool adapted) const;
  void list(LinearLayers& layers);

 private:
  const int64_t heads_, width_;
  const double epsilon_;
  Linear in_, out_;
  at::Tensor query_norm_, key_norm_;
};

int64_t width_of(const Flux2TransformerConfig& config);

// Numbers inside the feed-forward layers.
int64_t inner_of(const Flux2TransformerConfig& config);

}  // namespace eam::nn
