#include "nn/clip/clip_text.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/embedding.h>

#include "nn/layers/checks.h"

namespace eam::nn {

namespace {

const ClipTextConfig& checked_text(const ClipTextConfig& config) {
  check_clip_tower(config);
  return config;
}

}  // namespace

ClipText::ClipText(StoredWeights& weights, const ClipTextConfig& config)
    : config_(checked_text(config)),
      tokens_(weights.take("text_model.embeddings.token_embedding.weight", {config.vocabulary, config.width})),
      positions_(weights.take("text_model.embeddings.position_embedding.weight", {config.positions, config.width})),
      tower_(weights, "text_model.encoder.layers", config, /*causal=*/true),
      final_norm_(weights, "text_model.final_layer_norm", config.width, config.layer_norm_epsilon),
      projection_(weights, "text_projection", config.width, config.projection, /*bias=*/false) {
  weights.ignore("text_model.embeddings.position_ids");  // 0, 1, 2, …, which older files hold
}

at::Tensor ClipText::end_positions(const at::Tensor& ids) const {
  if (!config_.eos_token) return ids.argmax(1);
  const at::Tensor ends = ids.eq(*config_.eos_token).to(at::kInt);
  if (!ends.amax(1).all().item<bool>()) {
    const int64_t row = ends.amax(1).argmin().item<int64_t>();
    throw bad_shape(words("ids[", row, "]"),
                    words("the end token ", *config_.eos_token, ", whose state is the text's feature"),
                    "none; keep it when a prompt is truncated");
  }
  return ends.argmax(1);  // the first: padding may repeat the token
}

TextEncoder::Encoded ClipText::forward(const at::Tensor& ids, const at::Tensor& mask) const {
  refuse_mask(mask);
  const at::Tensor index = checked_ids(ids, config_.vocabulary, config_.positions, tokens_.device());
  const at::Tensor ends = end_positions(index);
  const auto states = tower_.forward(at::embedding(tokens_, index) + positions_.narrow(0, 0, index.size(1)));
  const at::Tensor at_end = states.last.gather(1, ends.view({-1, 1, 1}).expand({-1, 1, config_.width})).squeeze(1);
  return {states.before_last, projection_.forward(final_norm_.forward(at_end), false)};
}

}  // namespace eam::nn
