#include "nn/layers/attention_projections.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/rms_norm.h>

namespace eam::nn {

at::Tensor head_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  if (!weight.defined()) return x;
  return at::rms_norm(x.unflatten(-1, {-1, weight.size(0)}), weight.sizes(), weight, epsilon).flatten(-2);
}

AttentionProjections::AttentionProjections(StoredWeights& weights, const std::string& prefix, const Names& names,
                                           const AttentionSizes& sizes)
    : query_(weights, prefix + names.query, sizes.width(), sizes.width(), sizes.bias),
      key_(weights, prefix + names.key, sizes.width(), sizes.width(), sizes.bias),
      value_(weights, prefix + names.value, sizes.width(), sizes.width(), sizes.bias),
      norm_epsilon_(sizes.norm_epsilon) {
  if (!sizes.norm) return;
  query_norm_ = weights.take(prefix + names.query_norm + ".weight", {sizes.head_dim});
  key_norm_ = weights.take(prefix + names.key_norm + ".weight", {sizes.head_dim});
}

AttentionInputs AttentionProjections::forward(const at::Tensor& tokens, bool adapted) const {
  const std::vector<at::Tensor> parts = joint_.forward({&query_, &key_, &value_}, tokens, adapted);
  return {head_norm(parts[0], query_norm_, norm_epsilon_), head_norm(parts[1], key_norm_, norm_epsilon_), parts[2]};
}

void AttentionProjections::list(LinearLayers& layers) {
  layers.add({&query_, &key_, &value_});
  layers.add_joint(joint_, {&query_, &key_, &value_});
}

}  // namespace eam::nn
