#include "nn/layers/attention.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/scaled_dot_product_attention.h>

namespace eam::nn {

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t heads,
                  const AttentionOptions& options) {
  const auto split = [&](const at::Tensor& x) { return x.unflatten(-1, {heads, x.size(-1) / heads}).transpose(1, 2); };
  std::optional<at::Tensor> bias;
  if (options.bias.defined()) bias = options.bias;
  return at::scaled_dot_product_attention(split(q), split(k), split(v), bias, /*dropout_p=*/0, options.causal,
                                          options.scale)
      .transpose(1, 2)
      .flatten(-2);
}

}  // namespace eam::nn
