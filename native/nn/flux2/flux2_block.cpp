#include "nn/flux2/flux2_block.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/silu.h>

#include "nn/flux2/rotary.h"
#include "nn/layers/attention.h"
#include "nn/layers/modulation.h"

namespace eam::nn {

namespace {

AttentionSizes sizes_of(const Flux2TransformerConfig& config) {
  return {.heads = config.heads,
          .head_dim = config.head_dim,
          .bias = false,
          .norm = true,
          .norm_epsilon = config.norm_epsilon};
}

// One shift, scale and gate for each part of a block, of [B, 3 · parts · width].
std::vector<Modulation> split(const at::Tensor& modulation, int64_t parts) {
  const auto chunks = modulation.unsqueeze(1).chunk(3 * parts, 2);
  std::vector<Modulation> result;
  for (size_t first = 0; first < chunks.size(); first += 3) {
    result.push_back({chunks[first], chunks[first + 1], chunks[first + 2]});
  }
  return result;
}

at::Tensor swiglu(const at::Tensor& x) {
  const auto halves = x.chunk(2, -1);
  return at::silu(halves[0]) * halves[1];
}

// A float16 value beyond the type's range becomes the nearest end of that range, as in diffusers.
at::Tensor within_range(const at::Tensor& x) {
  return x.scalar_type() == at::kHalf ? at::clamp(x, -65504, 65504) : x;
}

}  // namespace

int64_t width_of(const Flux2TransformerConfig& config) {
  return config.heads * config.head_dim;
}

int64_t inner_of(const Flux2TransformerConfig& config) {
  return static_cast<int64_t>(static_cast<double>(width_of(config)) * config.mlp_ratio);
}

SwiGluFeedForward::SwiGluFeedForward(StoredWeights& weights, const std::string& prefix, int64_t width, int64_t inner)
    : in_(weights, prefix + "linear_in", width, 2 * inner, /*bias=*/false),
      out_(weights, prefix + "linear_out", inner, width, /*bias=*/false) {}

at::Tensor SwiGluFeedForward::forward(const at::Tensor& tokens, bool adapted) const {
  return out_.forward(swiglu(in_.forward(tokens, adapted)), adapted);
}

void SwiGluFeedForward::list(LinearLayers& layers) {
  layers.add({&in_, &out_});
}

Flux2DoubleBlock::Flux2DoubleBlock(StoredWeights& weights, const std::string& prefix,
                                   const Flux2TransformerConfig& config)
    : heads_(config.heads),
      epsilon_(config.norm_epsilon),
      image_in_(weights, prefix + "attn.", image_attention, sizes_of(config)),
      context_in_(weights, prefix + "attn.", context_attention, sizes_of(config)),
      image_out_(weights, prefix + "attn.to_out.0", width_of(config), width_of(config), /*bias=*/false),
      context_out_(weights, prefix + "attn.to_add_out", width_of(config), width_of(config), /*bias=*/false),
      image_feed_forward_(weights, prefix + "ff.", width_of(config), inner_of(config)),
      context_feed_forward_(weights, prefix + "ff_context.", width_of(config), inner_of(config)) {}

// With m(x) = (1 + scale) ⊙ n(x) + shift of each stream's own, and R the rotation by position:
//   q, k, v = W m(x), of the context's tokens, then of the image's
//   x ← x + gate ⊙ W_out attention(R q, R k, v)       its own tokens of the result
//   x ← x + gate ⊙ F(m(x))
std::vector<at::Tensor> Flux2DoubleBlock::forward(const at::Tensor& image, const at::Tensor& context,
                                                  const at::Tensor& image_modulation,
                                                  const at::Tensor& context_modulation, const at::Tensor& positions,
                                                  bool adapted) const {
  const std::vector<Modulation> image_parts = split(image_modulation, 2);
  const std::vector<Modulation> context_parts = split(context_modulation, 2);
  const AttentionInputs image_in = image_in_.forward(modulate(layer_norm(image, epsilon_), image_parts[0]), adapted);
  const AttentionInputs context_in =
      context_in_.forward(modulate(layer_norm(context, epsilon_), context_parts[0]), adapted);
  const at::Tensor mixed = attend(rotate(at::cat({context_in.query, image_in.query}, 1), positions),
                                  rotate(at::cat({context_in.key, image_in.key}, 1), positions),
                                  at::cat({context_in.value, image_in.value}, 1), heads_);

  const auto finish = [&](const at::Tensor& x, int64_t first, const std::vector<Modulation>& parts, const Linear& out,
                          const SwiGluFeedForward& feed_forward) {
    const at::Tensor own = mixed.narrow(1, first, x.size(1)).contiguous();
    const at::Tensor attended = at::addcmul(x, parts[0].gate, out.forward(own, adapted));
    return at::addcmul(attended, parts[1].gate,
                       feed_forward.forward(modulate(layer_norm(attended, epsilon_), parts[1]), adapted));
  };
  return {finish(image, context.size(1), image_parts, image_out_, image_feed_forward_),
          within_range(finish(context, 0, context_parts, context_out_, context_feed_forward_))};
}

void Flux2DoubleBlock::list(LinearLayers& layers) {
  image_in_.list(layers);
  layers.add({&image_out_});
  context_in_.list(layers);
  layers.add({&context_out_});
  image_feed_forward_.list(layers);
  context_feed_forward_.list(layers);
}

Flux2SingleBlock::Flux2SingleBlock(StoredWeights& weights, const std::string& prefix,
                                   const Flux2TransformerConfig& config)
    : heads_(config.heads),
      width_(width_of(config)),
      epsilon_(config.norm_epsilon),
      in_(weights, prefix + "attn.to_qkv_mlp_proj", width_, 3 * width_ + 2 * inner_of(config), /*bias=*/false),
      out_(weights, prefix + "attn.to_out", width_ + inner_of(config), width_, /*bias=*/false),
      query_norm_(weights.take(prefix + "attn.norm_q.weight", {config.head_dim})),
      key_norm_(weights.take(prefix + "attn.norm_k.weight", {config.head_dim})) {}

// x ← x + gate ⊙ W_out [attention(R q, R k, v), silu(a) ⊙ b], (q, k, v, a, b) = W_in m(x)
at::Tensor Flux2SingleBlock::forward(const at::Tensor& tokens, const at::Tensor& modulation,
                                     const at::Tensor& positions, bool adapted) const {
  const Modulation by = split(modulation, 1)[0];
  const at::Tensor in = in_.forward(modulate(layer_norm(tokens, epsilon_), by), adapted);
  const auto part = [&](int64_t index) { return in.narrow(-1, index * width_, width_); };
  const at::Tensor mixed = attend(rotate(head_norm(part(0), query_norm_, epsilon_), positions),
                                  rotate(head_norm(part(1), key_norm_, epsilon_), positions), part(2), heads_);
  const at::Tensor gated = swiglu(in.narrow(-1, 3 * width_, in.size(-1) - 3 * width_));
  return within_range(at::addcmul(tokens, by.gate, out_.forward(at::cat({mixed, gated}, -1), adapted)));
}

void Flux2SingleBlock::list(LinearLayers& layers) {
  layers.add({&in_, &out_});
}

}  // namespace eam::nn
