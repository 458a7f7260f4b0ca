#include "nn/qwen3/qwen3_encoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>

#include <algorithm>

#include "nn/layers/attention.h"
#include "nn/layers/attention_projections.h"
#include "nn/layers/checks.h"
#include "nn/layers/linear_map.h"
#include "ops/error.h"

namespace eam::nn {

namespace {

const Qwen3EncoderConfig& validated(const Qwen3EncoderConfig& config) {
  check_multiple("heads", config.heads, "keyValueHeads", config.key_value_heads);
  check_multiple("headDim", config.head_dim, "the pairs that turn,", 2);
  if (config.states.empty()) throw bad_value("states", "at least one number of layers", "none");
  for (const int64_t after : config.states) {
    if (after < config.layers) continue;
    throw bad_value("states", words("numbers below layers, ", config.layers), after);
  }
  return config;
}

// Each head's first half is turned with its second half.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cosines, const at::Tensor& sines) {
  const at::Tensor heads = x.unflatten(-1, {-1, 2 * cosines.size(-1)});
  const auto halves = heads.chunk(2, -1);
  return at::cat({halves[0] * cosines - halves[1] * sines, halves[1] * cosines + halves[0] * sines}, -1).flatten(-2);
}

// Boolean [B, L]. A row that begins with padding would have tokens that see nothing.
at::Tensor checked_mask(const at::Tensor& mask, const at::Tensor& ids) {
  if (!mask.defined()) return at::ones(ids.sizes(), ids.options().dtype(at::kBool));
  const at::Tensor text = mask.to(ids.device(), at::kBool);
  if (text.sizes() != ids.sizes()) throw bad_shape("mask", words("shape ", ids.sizes(), " as ids has"), mask.sizes());
  if (!text.select(1, 0).all().item<bool>()) {
    throw bad_shape("mask", "true for the first token of each row, where its text begins", "false for one");
  }
  return text;
}

}  // namespace

Qwen3Encoder::Qwen3Encoder(StoredWeights& weights, const Qwen3EncoderConfig& config)
    : config_(validated(config)),
      tokens_(weights.take("model.embed_tokens.weight", {config.vocabulary, config.width})) {
  const int64_t read = *std::max_element(config.states.begin(), config.states.end());
  for (int64_t i = 0; i < read; ++i) blocks_.push_back(block(weights, i));
  for (int64_t i = read; i < config.layers; ++i) weights.ignore_prefix("model.layers." + std::to_string(i) + ".");
  weights.ignore("model.norm.weight");
  weights.ignore("lm_head.weight");
}

Qwen3Encoder::Block Qwen3Encoder::block(StoredWeights& weights, int64_t index) const {
  const int64_t width = config_.width, inner = config_.intermediate;
  const int64_t queries = config_.heads * config_.head_dim, keys = config_.key_value_heads * config_.head_dim;
  const std::string name = "model.layers." + std::to_string(index) + ".";
  const std::string attention = name + "self_attn.", dense = name + "mlp.";

  Block block;
  block.attention_norm = weights.take(name + "input_layernorm.weight", {width});
  block.query = weights.take(attention + "q_proj.weight", {queries, width});
  block.key = weights.take(attention + "k_proj.weight", {keys, width});
  block.value = weights.take(attention + "v_proj.weight", {keys, width});
  block.out = weights.take(attention + "o_proj.weight", {width, queries});
  block.query_norm = weights.take(attention + "q_norm.weight", {config_.head_dim});
  block.key_norm = weights.take(attention + "k_norm.weight", {config_.head_dim});
  block.feed_forward_norm = weights.take(name + "post_attention_layernorm.weight", {width});
  block.gate = weights.take(dense + "gate_proj.weight", {inner, width});
  block.up = weights.take(dense + "up_proj.weight", {inner, width});
  block.down = weights.take(dense + "down_proj.weight", {width, inner});
  return block;
}

at::Tensor Qwen3Encoder::norm(const at::Tensor& x, const at::Tensor& weight) const {
  return at::rms_norm(x, weight.sizes(), weight, config_.norm_epsilon);
}

at::Tensor Qwen3Encoder::attention(const Block& block, const at::Tensor& x, const at::Tensor& seen,
                                   const at::Tensor& cosines, const at::Tensor& sines) const {
  const int64_t shared = config_.heads / config_.key_value_heads;
  // Repeats each head of keys and values for all heads of queries that read it.
  const auto repeated = [&](const at::Tensor& of) {
    const at::Tensor heads = of.unflatten(-1, {config_.key_value_heads, 1, config_.head_dim});
    return heads.expand({-1, -1, -1, shared, -1}).flatten(2);
  };
  const double epsilon = config_.norm_epsilon;
  const at::Tensor query = rotate(head_norm(linear_map(x, block.query), block.query_norm, epsilon), cosines, sines);
  const at::Tensor key = rotate(head_norm(linear_map(x, block.key), block.key_norm, epsilon), cosines, sines);
  const at::Tensor mixed =
      attend(query, repeated(key), repeated(linear_map(x, block.value)), config_.heads, {.bias = seen, .scale = {}});
  return linear_map(mixed, block.out);
}

at::Tensor Qwen3Encoder::feed_forward(const Block& block, const at::Tensor& x) const {
  return linear_map(at::silu(linear_map(x, block.gate)) * linear_map(x, block.up), block.down);
}

TextEncoder::Encoded Qwen3Encoder::forward(const at::Tensor& ids, const at::Tensor& mask) const {
  const at::Tensor index = checked_ids(ids, config_.vocabulary, /*positions=*/0, tokens_.device());
  const int64_t length = index.size(1);
  const at::Tensor text = checked_mask(mask, index);
  const at::Tensor causal = at::ones({length, length}, text.options()).tril();
  const at::Tensor seen = text.unsqueeze(1).unsqueeze(2).logical_and(causal);

  // Angles in float32, as transformers has them. Padding does not shift the places of the text, which it follows.
  const auto floats = index.options().dtype(at::kFloat);
  const at::Tensor exponents = at::arange(0, config_.head_dim, 2, floats).div(config_.head_dim);
  const at::Tensor angles = at::outer(at::arange(length, floats), at::pow(config_.rope_theta, exponents).reciprocal());
  const at::ScalarType dtype = tokens_.scalar_type();
  const at::Tensor cosines = angles.cos().to(dtype).unsqueeze(1), sines = angles.sin().to(dtype).unsqueeze(1);

  std::vector<at::Tensor> after = {at::embedding(tokens_, index)};
  for (const Block& block : blocks_) {
    const at::Tensor& before = after.back();
    const at::Tensor h = before + attention(block, norm(before, block.attention_norm), seen, cosines, sines);
    after.push_back(h + feed_forward(block, norm(h, block.feed_forward_norm)));
  }
  std::vector<at::Tensor> read;
  for (const int64_t state : config_.states) read.push_back(after[state]);
  return {at::cat(read, -1), {}};
}

}  // namespace eam::nn
