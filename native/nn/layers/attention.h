#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace eam::nn {

struct AttentionOptions {
  at::Tensor bias;              // added to the logits, broadcast to [B, heads, L, S]; or boolean: which may be seen
  bool causal = false;          // a token sees itself and those before it
  std::optional<double> scale;  // of the logits; none: 1/√(width of a head)
};

// Attention by several heads through LibTorch's fused kernels: q [B, L, heads·d], k and v [B, S, heads·d] to
// [B, L, heads·d]; a head's features are neighbours.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads,
                  const AttentionOptions& options = {});

}  // namespace eam::nn
