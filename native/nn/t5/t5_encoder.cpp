#include "nn/t5/t5_encoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/where.h>

#include <cmath>

#include "nn/layers/attention.h"
#include "nn/layers/checks.h"
#include "nn/layers/linear_map.h"
#include "ops/gelu.h"

namespace eam::nn {

namespace {

T5EncoderConfig validated(const T5EncoderConfig& config) {
  // Half of the buckets is for tokens behind; half of those for single distances, the rest for growing ranges.
  check_multiple("relativeBuckets", config.relative_buckets, "the two directions' two halves,", 4);
  if (config.relative_max_distance <= config.relative_buckets / 4) {
    throw bad_value("relativeMaxDistance",
                    words("a number above a quarter of relativeBuckets, ", config.relative_buckets / 4),
                    config.relative_max_distance);
  }
  return config;
}

// The files hold the table of tokens under one of two names, or under both.
at::Tensor take_tokens(StoredWeights& weights, const T5EncoderConfig& config) {
  const std::string shared = "shared.weight", own = "encoder.embed_tokens.weight";
  const std::string& name = !weights.has(shared) && weights.has(own) ? own : shared;
  at::Tensor tokens = weights.take(name, {config.vocabulary, config.width});
  weights.ignore(own);
  return tokens;
}

// The bucket of each distance from a token (row) to another (column), int64 [length, length].
at::Tensor relative_buckets(const T5EncoderConfig& config, int64_t length) {
  const int64_t half = config.relative_buckets / 2, single = half / 2;
  const at::Tensor place = at::arange(length, at::kLong);
  const at::Tensor offset = place.unsqueeze(0) - place.unsqueeze(1);
  const at::Tensor distance = offset.abs();
  // In float32, as the reference implementation: a distance at the edge of a range is rounded the same way.
  const double range = std::log(static_cast<double>(config.relative_max_distance) / static_cast<double>(single));
  const at::Tensor far = (distance.clamp_min(1).to(at::kFloat).div(single).log().div(range).mul(half - single))
                             .to(at::kLong)
                             .add(single)
                             .clamp_max(half - 1);
  return at::where(distance.lt(single), distance, far) + offset.gt(0).to(at::kLong).mul(half);
}

}  // namespace

T5Encoder::T5Encoder(StoredWeights& weights, const T5EncoderConfig& config)
    : config_(validated(config)),
      tokens_(take_tokens(weights, config)),
      relative_bias_(weights.take("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
                                  {config.relative_buckets, config.heads})),
      final_norm_(weights.take("encoder.final_layer_norm.weight", {config.width})) {
  for (int64_t i = 0; i < config.layers; ++i) blocks_.push_back(block(weights, i));
}

// A block's weights stay on the CPU in slices, as the memory map that stores them, until `ready`.
T5Encoder::Block T5Encoder::block(StoredWeights& weights, int64_t index) const {
  const auto take = [&](const std::string& tensor, at::IntArrayRef shape) {
    if (config_.sliced && !weights.device().is_meta()) return weights.take(tensor, shape, std::nullopt, at::kCPU);
    return weights.take(tensor, shape);
  };
  const int64_t width = config_.width, inner = config_.intermediate, heads = config_.heads * config_.key_width;
  const std::string name = "encoder.block." + std::to_string(index) + ".layer.";
  const std::string attention = name + "0.SelfAttention.", dense = name + "1.DenseReluDense.";
  const bool gated = config_.feed_forward == T5FeedForward::gated_gelu;

  Block block;
  block.attention_norm = take(name + "0.layer_norm.weight", {width});
  block.query = take(attention + "q.weight", {heads, width});
  block.key = take(attention + "k.weight", {heads, width});
  block.value = take(attention + "v.weight", {heads, width});
  block.out = take(attention + "o.weight", {width, heads});
  block.feed_forward_norm = take(name + "1.layer_norm.weight", {width});
  block.in = take(dense + (gated ? "wi_0.weight" : "wi.weight"), {inner, width});
  if (gated) block.gate = take(dense + "wi_1.weight", {inner, width});
  block.wo = !config_.sliced && tokens_.scalar_type() == at::kHalf
                 ? weights.take(dense + "wo.weight", {width, inner}, at::kFloat)
                 : take(dense + "wo.weight", {width, inner});
  return block;
}

// The block on the network's device and in its dtype: itself, where it is there already.
T5Encoder::Block T5Encoder::ready(const Block& block) const {
  if (!config_.sliced) return block;
  Block ready;
  const auto move = [&](at::Tensor Block::* member, at::ScalarType dtype) {
    if ((block.*member).defined()) ready.*member = (block.*member).to(tokens_.device(), dtype);
  };
  const at::ScalarType dtype = tokens_.scalar_type();
  for (at::Tensor Block::* member : {&Block::attention_norm, &Block::query, &Block::key, &Block::value, &Block::out,
                                     &Block::feed_forward_norm, &Block::in, &Block::gate}) {
    move(member, dtype);
  }
  move(&Block::wo, dtype == at::kHalf ? at::kFloat : dtype);
  return ready;
}

at::Tensor T5Encoder::norm(const at::Tensor& x, const at::Tensor& weight) const {
  return at::rms_norm(x, {config_.width}, {}, config_.layer_norm_epsilon).to(weight.scalar_type()) * weight;
}

at::Tensor T5Encoder::position_bias(int64_t length) const {
  const at::Tensor buckets = relative_buckets(config_, length).to(tokens_.device());
  return at::embedding(relative_bias_, buckets).permute({2, 0, 1}).unsqueeze(0).contiguous();
}

at::Tensor T5Encoder::attention(const Block& block, const at::Tensor& x, const at::Tensor& bias) const {
  // T5 does not scale the logits: its initialisation did.
  const at::Tensor mixed = attend(linear_map(x, block.query), linear_map(x, block.key), linear_map(x, block.value),
                                  config_.heads, {.bias = bias, .causal = false, .scale = 1.0});
  return linear_map(mixed, block.out);
}

at::Tensor T5Encoder::feed_forward(const Block& block, const at::Tensor& x) const {
  const at::Tensor in = linear_map(x, block.in);
  const at::Tensor active = block.gate.defined() ? ops::gelu_tanh(in) * linear_map(x, block.gate) : at::relu(in);
  return linear_map(active.to(block.wo.scalar_type()), block.wo);
}

TextEncoder::Encoded T5Encoder::forward(const at::Tensor& ids, const at::Tensor& mask) const {
  refuse_mask(mask);
  const at::Tensor index = checked_ids(ids, config_.vocabulary, /*positions=*/0, tokens_.device());
  const at::Tensor bias = position_bias(index.size(1));
  at::Tensor h = at::embedding(tokens_, index);
  if (h.scalar_type() == at::kHalf) h = h.to(at::kFloat);
  for (const Block& stored : blocks_) {
    const Block block = ready(stored);
    h = h + attention(block, norm(h, block.attention_norm), bias);
    h = h + feed_forward(block, norm(h, block.feed_forward_norm));
  }
  return {norm(h, final_norm_), {}};
}

}  // namespace eam::nn
