#include "nn/blip/bert.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/gelu.h>

#include "nn/layers/attention.h"
#include "nn/layers/checks.h"

namespace eam::nn {

namespace {

BertConfig validated(const BertConfig& config) {
  check_multiple("text.width", config.width, "text.heads", config.heads);
  return config;
}

}  // namespace

Bert::Bert(StoredWeights& weights, const std::string& prefix, const BertConfig& config)
    : config_(validated(config)),
      words_(weights.take(prefix + ".embeddings.word_embeddings.weight", {config.vocabulary, config.width})),
      positions_(weights.take(prefix + ".embeddings.position_embeddings.weight", {config.positions, config.width})),
      norm_(weights, prefix + ".embeddings.LayerNorm", config.width, config.layer_norm_epsilon) {
  weights.ignore(prefix + ".embeddings.position_ids");  // 0, 1, 2, …, which older files hold
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string name = prefix + ".encoder.layer." + std::to_string(i) + ".";
    layers_.push_back({attention(weights, name + "attention", config, config.width),
                       attention(weights, name + "crossattention", config, config.encoder_width),
                       Linear(weights, name + "intermediate.dense", config.width, config.intermediate),
                       Linear(weights, name + "output.dense", config.intermediate, config.width),
                       LayerNorm(weights, name + "output.LayerNorm", config.width, config.layer_norm_epsilon)});
  }
}

Bert::Attention Bert::attention(StoredWeights& weights, const std::string& name, const BertConfig& config,
                                int64_t read) {
  return {Linear(weights, name + ".self.query", config.width, config.width),
          Linear(weights, name + ".self.key", read, config.width),
          Linear(weights, name + ".self.value", read, config.width),
          Linear(weights, name + ".output.dense", config.width, config.width),
          LayerNorm(weights, name + ".output.LayerNorm", config.width, config.layer_norm_epsilon)};
}

at::Tensor Bert::run(const Attention& attention, const at::Tensor& x, const at::Tensor& read,
                     const at::Tensor& bias) const {
  const at::Tensor mixed =
      attend(attention.query.forward(x, false), attention.key.forward(read, false),
             attention.value.forward(read, false), config_.heads, {.bias = bias, .causal = false, .scale = {}});
  return attention.norm.forward(attention.out.forward(mixed, false) + x);
}

at::Tensor Bert::forward(const at::Tensor& ids, const at::Tensor& mask, const at::Tensor& states) const {
  const at::Tensor index = checked_ids(ids, config_.vocabulary, config_.positions, words_.device());
  if (mask.sizes() != ids.sizes()) {
    throw bad_shape("mask", words("shape ", ids.sizes(), " as ids has"), mask.sizes());
  }
  // Padding is all but left out: the published code adds this, and a text of nothing else still has a state.
  const at::Tensor bias = ((1 - mask.to(words_.options())) * -10000.0).view({mask.size(0), 1, 1, mask.size(1)});
  at::Tensor x = norm_.forward(at::embedding(words_, index) + positions_.narrow(0, 0, index.size(1)));
  for (const Layer& layer : layers_) {
    const at::Tensor h = run(layer.cross, run(layer.self, x, x, bias), states, {});
    x = layer.norm.forward(layer.output.forward(at::gelu(layer.intermediate.forward(h, false)), false) + h);
  }
  return x;
}

}  // namespace eam::nn
