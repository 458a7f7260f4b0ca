#include "nn/clip/clip_tower.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/silu.h>

#include "nn/layers/attention.h"
#include "nn/layers/checks.h"

namespace eam::nn {

void check_clip_tower(const ClipTowerConfig& config) {
  check_multiple("width", config.width, "heads", config.heads);
}

ClipTower::ClipTower(StoredWeights& weights, const std::string& prefix, const ClipTowerConfig& config, bool causal)
    : heads_(config.heads), activation_(config.activation), causal_(causal) {
  const int64_t width = config.width, inner = config.intermediate;
  const double epsilon = config.layer_norm_epsilon;
  layers_.reserve(config.layers);
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string name = prefix + "." + std::to_string(i) + ".";
    layers_.push_back({LayerNorm(weights, name + "layer_norm1", width, epsilon),
                       Linear(weights, name + "self_attn.q_proj", width, width),
                       Linear(weights, name + "self_attn.k_proj", width, width),
                       Linear(weights, name + "self_attn.v_proj", width, width),
                       Linear(weights, name + "self_attn.out_proj", width, width),
                       LayerNorm(weights, name + "layer_norm2", width, epsilon),
                       Linear(weights, name + "mlp.fc1", width, inner),
                       Linear(weights, name + "mlp.fc2", inner, width)});
  }
}

namespace {

at::Tensor activate(ClipActivation activation, const at::Tensor& x) {
  if (activation == ClipActivation::gelu) return at::gelu(x);
  return at::silu(x * 1.702) / 1.702;  // keeps one tensor for the backward pass, x sigmoid(1.702 x) two
}

}  // namespace

at::Tensor ClipTower::run(const Layer& layer, const at::Tensor& x) const {
  const at::Tensor normed = layer.norm1.forward(x);
  const at::Tensor mixed =
      attend(layer.query.forward(normed, false), layer.key.forward(normed, false), layer.value.forward(normed, false),
             heads_, {.bias = {}, .causal = causal_, .scale = {}});
  const at::Tensor h = x + layer.out.forward(mixed, false);
  const at::Tensor inner = layer.fc1.forward(layer.norm2.forward(h), false);
  return h + layer.fc2.forward(activate(activation_, inner), false);
}

ClipTower::States ClipTower::forward(const at::Tensor& x) const {
  States states = {x, x};
  for (const Layer& layer : layers_) {
    states.before_last = states.last;
    states.last = run(layer, states.last);
  }
  return states;
}

}  // namespace eam::nn
