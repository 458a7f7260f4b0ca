#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/layers/attention_projections.h"
#include "nn/layers/joint_linear.h"
#include "nn/layers/lora.h"
#include "nn/layers/modulation.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// Two linear layers with a GELU (tanh form) between them, four times as wide inside.
class FeedForward {
 public:
  FeedForward(StoredWeights& weights, const std::string& prefix, int64_t width);
  at::Tensor forward(const at::Tensor& tokens, bool adapted) const;
  void list(LinearLayers& layers);

 private:
  Linear in_, out_;
};

// One block of an MMDiT (arXiv 2403.03206, section 4): two streams of tokens, image and context, with weights of their
// own and a joint attention. SD3.5's first blocks attend over the image alone as well (`dual`). The last block drops
// the context after its attention (`last`).
class Sd3Block {
 public:
  static constexpr double norm_epsilon = 1e-6;  // that every norm adds to a variance

  Sd3Block(StoredWeights& weights, const std::string& prefix, int64_t heads, int64_t head_dim, bool qk_norm, bool dual,
           bool last);

  // What modulates both streams, image and context, of the activated embedding of time and pooled text.
  JointLinear::Layers modulations() { return {&modulation_, &context_modulation_}; }
  std::vector<at::Tensor> modulate_by(const at::Tensor& condition, bool adapted) const;

  // image [B, N, width], context [B, L, width], and what modulates each of them. Image and context after the block; of
  // the last one only the image.
  std::vector<at::Tensor> forward(const at::Tensor& image, const at::Tensor& context,
                                  const at::Tensor& image_modulation, const at::Tensor& context_modulation,
                                  bool adapted) const;
  void list(LinearLayers& layers);

 private:
  struct ImageModulation {
    Modulation attention, feed_forward;
    Modulation dual;  // of the attention over the image alone, where there is one
  };
  struct ContextModulation {
    Modulation attention;     // of the last block without a gate
    Modulation feed_forward;  // of all but the last block
  };

  ImageModulation split_image(const at::Tensor& modulation) const;
  ContextModulation split_context(const at::Tensor& modulation) const;

  const int64_t heads_;
  const bool last_;
  Linear modulation_, context_modulation_;
  AttentionProjections image_in_, context_in_;
  Linear image_out_;
  std::optional<Linear> context_out_;
  std::optional<AttentionProjections> dual_in_;
  std::optional<Linear> dual_out_;
  FeedForward feed_forward_;
  std::optional<FeedForward> context_feed_forward_;
};

}  // namespace eam::nn
