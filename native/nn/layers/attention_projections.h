#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nn/layers/joint_linear.h"
#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// Queries, keys and values of a stream of tokens, [B, L, heads · head_dim] each.
struct AttentionInputs {
  at::Tensor query, key, value;
};

// The sizes of an attention.
struct AttentionSizes {
  int64_t heads, head_dim;
  bool bias;            // of its linear layers
  bool norm;            // whether queries and keys are RMS-normalised
  double norm_epsilon;  // added to the mean square

  int64_t width() const { return heads * head_dim; }
};

// RMS normalisation of each head of x [B, L, heads · head_dim] on its own; weight [head_dim], or none for x itself.
at::Tensor head_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon);

// The linear layers that make queries, keys and values, with the norms of queries and keys where there are any.
class AttentionProjections {
 public:
  struct Names {
    const char *query, *key, *value, *query_norm, *key_norm;
  };

  AttentionProjections(StoredWeights& weights, const std::string& prefix, const Names& names,
                       const AttentionSizes& sizes);
  AttentionInputs forward(const at::Tensor& tokens, bool adapted) const;
  void list(LinearLayers& layers);

 private:
  JointLinear joint_;
  Linear query_, key_, value_;
  at::Tensor query_norm_, key_norm_;
  double norm_epsilon_;
};

// diffusers' names of a multimodal attention's two streams.
inline constexpr AttentionProjections::Names image_attention = {"to_q", "to_k", "to_v", "norm_q", "norm_k"};
inline constexpr AttentionProjections::Names context_attention = {"add_q_proj", "add_k_proj", "add_v_proj",
                                                                  "norm_added_q", "norm_added_k"};

}  // namespace eam::nn
