#include "nn/sd3/sd3_block.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>

#include "nn/layers/attention.h"
#include "ops/gelu.h"

namespace eam::nn {

namespace {

AttentionSizes sizes_of(int64_t heads, int64_t head_dim, bool qk_norm) {
  return {.heads = heads, .head_dim = head_dim, .bias = true, .norm = qk_norm, .norm_epsilon = Sd3Block::norm_epsilon};
}

}  // namespace

FeedForward::FeedForward(StoredWeights& weights, const std::string& prefix, int64_t width)
    : in_(weights, prefix + "net.0.proj", width, 4 * width), out_(weights, prefix + "net.2", 4 * width, width) {}

at::Tensor FeedForward::forward(const at::Tensor& tokens, bool adapted) const {
  return out_.forward(ops::gelu_tanh(in_.forward(tokens, adapted)), adapted);
}

void FeedForward::list(LinearLayers& layers) {
  layers.add({&in_, &out_});
}

Sd3Block::Sd3Block(StoredWeights& weights, const std::string& prefix, int64_t heads, int64_t head_dim, bool qk_norm,
                   bool dual, bool last)
    : heads_(heads),
      last_(last),
      modulation_(weights, prefix + "norm1.linear", heads * head_dim, (dual ? 9 : 6) * heads * head_dim),
      context_modulation_(weights, prefix + "norm1_context.linear", heads * head_dim,
                          (last ? 2 : 6) * heads * head_dim),
      image_in_(weights, prefix + "attn.", image_attention, sizes_of(heads, head_dim, qk_norm)),
      context_in_(weights, prefix + "attn.", context_attention, sizes_of(heads, head_dim, qk_norm)),
      image_out_(weights, prefix + "attn.to_out.0", heads * head_dim, heads * head_dim),
      feed_forward_(weights, prefix + "ff.", heads * head_dim) {
  const int64_t width = heads * head_dim;
  if (dual) {
    dual_in_.emplace(weights, prefix + "attn2.", image_attention, sizes_of(heads, head_dim, qk_norm));
    dual_out_.emplace(weights, prefix + "attn2.to_out.0", width, width);
  }
  if (!last) {
    context_out_.emplace(weights, prefix + "attn.to_add_out", width, width);
    context_feed_forward_.emplace(weights, prefix + "ff_context.", width);
  }
}

// Each stream x, image and context, is normalised (n, without weights) and modulated by the condition:
//   m(x) = (1 + scale) ⊙ n(x) + shift
// then attends over both, and goes through feed-forward layers of its own (F):
//   q, k, v = [W m(image), W m(context)]                 the streams joined along their tokens
//   x ← x + gate ⊙ W_out attention(q, k, v)              its own tokens of the result
//   image ← image + gate ⊙ W_out attention(m(image))     dual blocks: m of the image as it came in
//   x ← x + gate ⊙ F(m(x))
std::vector<at::Tensor> Sd3Block::forward(const at::Tensor& image, const at::Tensor& context,
                                          const at::Tensor& image_modulation, const at::Tensor& context_modulation,
                                          bool adapted) const {
  const ImageModulation image_part = split_image(image_modulation);
  const ContextModulation context_part = split_context(context_modulation);

  const at::Tensor image_normed = layer_norm(image, norm_epsilon);
  const AttentionInputs image_in = image_in_.forward(modulate(image_normed, image_part.attention), adapted);
  const AttentionInputs context_in =
      context_in_.forward(modulate(layer_norm(context, norm_epsilon), context_part.attention), adapted);
  const at::Tensor mixed =
      attend(at::cat({image_in.query, context_in.query}, 1), at::cat({image_in.key, context_in.key}, 1),
             at::cat({image_in.value, context_in.value}, 1), heads_);

  // Contiguous, a linear layer is one product with its bias; else LibTorch may take one a sample and add the bias
  // after.
  const at::Tensor image_mixed = mixed.narrow(1, 0, image.size(1)).contiguous();
  at::Tensor new_image = at::addcmul(image, image_part.attention.gate, image_out_.forward(image_mixed, adapted));
  if (dual_in_) {
    const AttentionInputs own = dual_in_->forward(modulate(image_normed, image_part.dual), adapted);
    const at::Tensor own_mixed = attend(own.query, own.key, own.value, heads_);
    new_image = at::addcmul(new_image, image_part.dual.gate, dual_out_->forward(own_mixed, adapted));
  }
  new_image = at::addcmul(
      new_image, image_part.feed_forward.gate,
      feed_forward_.forward(modulate(layer_norm(new_image, norm_epsilon), image_part.feed_forward), adapted));
  if (last_) return {new_image};

  const at::Tensor context_mixed = mixed.narrow(1, image.size(1), context.size(1)).contiguous();
  at::Tensor new_context =
      at::addcmul(context, context_part.attention.gate, context_out_->forward(context_mixed, adapted));
  new_context = at::addcmul(new_context, context_part.feed_forward.gate,
                            context_feed_forward_->forward(
                                modulate(layer_norm(new_context, norm_epsilon), context_part.feed_forward), adapted));
  return {new_image, new_context};
}

std::vector<at::Tensor> Sd3Block::modulate_by(const at::Tensor& condition, bool adapted) const {
  return {modulation_.forward(condition, adapted), context_modulation_.forward(condition, adapted)};
}

Sd3Block::ImageModulation Sd3Block::split_image(const at::Tensor& modulation) const {
  const auto parts = modulation.unsqueeze(1).chunk(dual_in_ ? 9 : 6, 2);
  const auto part = [&](size_t first) { return Modulation{parts[first], parts[first + 1], parts[first + 2]}; };
  return {.attention = part(0), .feed_forward = part(3), .dual = dual_in_ ? part(6) : Modulation{}};
}

Sd3Block::ContextModulation Sd3Block::split_context(const at::Tensor& modulation) const {
  const auto parts = modulation.unsqueeze(1).chunk(last_ ? 2 : 6, 2);
  // The last block only reads the context, and stores the scale before the shift.
  if (last_) return {.attention = {.shift = parts[1], .scale = parts[0], .gate = {}}, .feed_forward = {}};
  return {.attention = {parts[0], parts[1], parts[2]}, .feed_forward = {parts[3], parts[4], parts[5]}};
}

void Sd3Block::list(LinearLayers& layers) {
  layers.add({&modulation_, &context_modulation_});
  image_in_.list(layers);
  layers.add({&image_out_});
  context_in_.list(layers);
  if (context_out_) layers.add({&*context_out_});
  if (dual_in_) dual_in_->list(layers);
  if (dual_out_) layers.add({&*dual_out_});
  feed_forward_.list(layers);
  if (context_feed_forward_) context_feed_forward_->list(layers);
}

}  // namespace eam::nn
