#include "nn/sd3/sd3_block.h"

#include <ATen/ATen.h>

#include "nn/layers/attention.h"

namespace eam::nn {

namespace {

constexpr double norm_epsilon = 1e-6;

constexpr AttentionProjections::Names image_names = {"to_q", "to_k", "to_v", "norm_q", "norm_k"};
constexpr AttentionProjections::Names context_names = {"add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q",
                                                       "norm_added_k"};

// Of each head of x [B, L, heads · head_dim] on its own.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight) {
  if (!weight.defined()) return x;
  return at::rms_norm(x.unflatten(-1, {-1, weight.size(0)}), weight.sizes(), weight, norm_epsilon).flatten(-2);
}

}  // namespace

at::Tensor layer_norm(const at::Tensor& tokens) {
  return at::layer_norm(tokens, {tokens.size(-1)}, {}, {}, norm_epsilon);
}

at::Tensor modulate(const at::Tensor& normed, const at::Tensor& shift, const at::Tensor& scale) {
  return at::addcmul(shift, normed, scale + 1);
}

AttentionProjections::AttentionProjections(StoredWeights& weights, const std::string& prefix, const Names& names,
                                           int64_t heads, int64_t head_dim, bool norm)
    : query_(weights, prefix + names.query, heads * head_dim, heads * head_dim),
      key_(weights, prefix + names.key, heads * head_dim, heads * head_dim),
      value_(weights, prefix + names.value, heads * head_dim, heads * head_dim) {
  if (!norm) return;
  query_norm_ = weights.take(prefix + names.query_norm + ".weight", {head_dim});
  key_norm_ = weights.take(prefix + names.key_norm + ".weight", {head_dim});
}

AttentionInputs AttentionProjections::forward(const at::Tensor& tokens, bool adapted) const {
  return {rms_norm(query_.forward(tokens, adapted), query_norm_), rms_norm(key_.forward(tokens, adapted), key_norm_),
          value_.forward(tokens, adapted)};
}

void AttentionProjections::list(std::vector<Linear*>& layers) {
  layers.insert(layers.end(), {&query_, &key_, &value_});
}

FeedForward::FeedForward(StoredWeights& weights, const std::string& prefix, int64_t width)
    : in_(weights, prefix + "net.0.proj", width, 4 * width), out_(weights, prefix + "net.2", 4 * width, width) {}

at::Tensor FeedForward::forward(const at::Tensor& tokens, bool adapted) const {
  return out_.forward(at::gelu(in_.forward(tokens, adapted), "tanh"), adapted);
}

void FeedForward::list(std::vector<Linear*>& layers) {
  layers.insert(layers.end(), {&in_, &out_});
}

Sd3Block::Sd3Block(StoredWeights& weights, const std::string& prefix, int64_t heads, int64_t head_dim, bool qk_norm,
                   bool dual, bool last)
    : heads_(heads),
      dual_(dual),
      last_(last),
      modulation_(weights, prefix + "norm1.linear", heads * head_dim, (dual ? 9 : 6) * heads * head_dim),
      context_modulation_(weights, prefix + "norm1_context.linear", heads * head_dim,
                          (last ? 2 : 6) * heads * head_dim),
      image_in_(weights, prefix + "attn.", image_names, heads, head_dim, qk_norm),
      context_in_(weights, prefix + "attn.", context_names, heads, head_dim, qk_norm),
      image_out_(weights, prefix + "attn.to_out.0", heads * head_dim, heads * head_dim),
      feed_forward_(weights, prefix + "ff.", heads * head_dim) {
  const int64_t width = heads * head_dim;
  if (dual) {
    dual_in_.emplace(weights, prefix + "attn2.", image_names, heads, head_dim, qk_norm);
    dual_out_.emplace(weights, prefix + "attn2.to_out.0", width, width);
  }
  if (!last) {
    context_out_.emplace(weights, prefix + "attn.to_add_out", width, width);
    context_feed_forward_.emplace(weights, prefix + "ff_context.", width);
  }
}

std::vector<at::Tensor> Sd3Block::forward(const at::Tensor& image, const at::Tensor& context,
                                          const at::Tensor& condition, bool adapted) const {
  const int64_t patches = image.size(1);
  // shift, scale and gate of the attention, of the feed-forward layers, and of the attention over the image alone
  const auto m = modulation_.forward(condition, adapted).unsqueeze(1).chunk(dual_ ? 9 : 6, 2);
  const auto c = context_modulation_.forward(condition, adapted).unsqueeze(1).chunk(last_ ? 2 : 6, 2);

  const at::Tensor normed = layer_norm(image);
  // The last block stores the scale before the shift.
  const at::Tensor context_normed = modulate(layer_norm(context), c[last_ ? 1 : 0], c[last_ ? 0 : 1]);
  const AttentionInputs i = image_in_.forward(modulate(normed, m[0], m[1]), adapted);
  const AttentionInputs t = context_in_.forward(context_normed, adapted);
  const at::Tensor mixed =
      attend(at::cat({i.query, t.query}, 1), at::cat({i.key, t.key}, 1), at::cat({i.value, t.value}, 1), heads_);

  // Contiguous, a linear layer is one product with its bias; else LibTorch may take one a sample and add the bias
  // after.
  const at::Tensor image_mixed = mixed.narrow(1, 0, patches).contiguous();
  at::Tensor h = at::addcmul(image, m[2], image_out_.forward(image_mixed, adapted));
  if (dual_) {
    const AttentionInputs own = dual_in_->forward(modulate(normed, m[6], m[7]), adapted);
    h = at::addcmul(h, m[8], dual_out_->forward(attend(own.query, own.key, own.value, heads_), adapted));
  }
  h = at::addcmul(h, m[5], feed_forward_.forward(modulate(layer_norm(h), m[3], m[4]), adapted));
  if (last_) return {h};

  const at::Tensor context_mixed = mixed.narrow(1, patches, context.size(1)).contiguous();
  at::Tensor g = at::addcmul(context, c[2], context_out_->forward(context_mixed, adapted));
  g = at::addcmul(g, c[5], context_feed_forward_->forward(modulate(layer_norm(g), c[3], c[4]), adapted));
  return {h, g};
}

void Sd3Block::list(std::vector<Linear*>& layers) {
  layers.insert(layers.end(), {&modulation_, &context_modulation_});
  image_in_.list(layers);
  layers.push_back(&image_out_);
  context_in_.list(layers);
  if (context_out_) layers.push_back(&*context_out_);
  if (dual_in_) dual_in_->list(layers);
  if (dual_out_) layers.push_back(&*dual_out_);
  feed_forward_.list(layers);
  if (context_feed_forward_) context_feed_forward_->list(layers);
}

}  // namespace eam::nn
