#include "nn/layers/joint_linear.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "nn/layers/checkpointing.h"
#include "nn/layers/linear_map.h"

namespace eam::nn {

namespace {

// The numbers of each layer's result.
template <class Layers>
std::vector<int64_t> widths(const Layers& layers) {
  std::vector<int64_t> sizes;
  sizes.reserve(layers.size());
  for (const Linear* layer : layers) sizes.push_back(layer->weight().size(0));
  return sizes;
}

at::Tensor joined_biases(const JointLinear::Layers& layers) {
  std::vector<at::Tensor> biases;
  for (const Linear* layer : layers) {
    if (layer->bias().defined()) biases.push_back(layer->bias());
  }
  return biases.empty() ? at::Tensor() : at::cat(biases);
}

}  // namespace

void JointLinear::join(const Layers& layers, StoredWeights& weights) {
  if (!std::ranges::all_of(layers, [&](const Linear* layer) { return weights.copied(layer->weight()); })) return;
  std::vector<at::Tensor> parts;
  parts.reserve(layers.size());
  for (const Linear* layer : layers) parts.push_back(layer->weight());
  weight_ = at::cat(parts);
  bias_ = joined_biases(layers);
  parts = weight_.split_with_sizes(widths(layers));
  for (size_t i = 0; i < layers.size(); ++i) {
    weights.replace(layers[i]->weight(), parts[i]);
    layers[i]->move_to(parts[i]);
  }
}

void JointLinear::fold(const Layers& layers) {
  if (!std::ranges::all_of(layers, &Linear::has_adapter)) return;
  int64_t rows = 0;
  for (const int64_t width : widths(layers)) rows += width;
  const at::Tensor& first = layers[0]->weight();
  folded_ = at::empty({rows, first.size(1)}, first.options());
  const std::vector<at::Tensor> parts = folded_.split_with_sizes(widths(layers));
  for (size_t i = 0; i < layers.size(); ++i) layers[i]->fold(parts[i]);
  if (!bias_.defined()) bias_ = joined_biases(layers);
}

std::vector<at::Tensor> JointLinear::forward(const std::vector<const Linear*>& layers, const at::Tensor& x,
                                             bool adapted) const {
  // What a gradient's second pass computes again must be computed the same, and is in pieces there.
  const bool recorded = at::GradMode::is_enabled() || in_checkpoint();
  const auto joint = [&](const at::Tensor& weight) {
    return linear_map(x, weight, bias_).split_with_sizes(widths(layers), -1);
  };
  if (!recorded && adapted && folded_.defined()) return joint(folded_);
  std::vector<at::Tensor> results;
  if (recorded || !weight_.defined() || (adapted && std::ranges::any_of(layers, &Linear::is_folded))) {
    results.reserve(layers.size());
    for (const Linear* layer : layers) results.push_back(layer->forward(x, adapted));
    return results;
  }
  results = joint(weight_);
  if (!adapted) return results;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i]->has_adapter()) layers[i]->add_update(results[i], x);
  }
  return results;
}

void LinearLayers::join(StoredWeights& weights) {
  for (const auto& [linear, layers] : joint_) linear->join(layers, weights);
}

void LinearLayers::fold() {
  at::NoGradGuard no_grad;
  for (const auto& [linear, layers] : joint_) linear->fold(layers);
  for (Linear* layer : all_) {
    if (layer->has_adapter() && !layer->is_folded()) layer->fold();
  }
}

void LinearLayers::unfold() {
  for (const auto& [linear, layers] : joint_) linear->unfold();
  for (Linear* layer : all_) layer->unfold();
}

}  // namespace eam::nn
