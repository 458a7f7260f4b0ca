#include "nn/clip/clip_vision.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>

#include "nn/layers/checks.h"

namespace eam::nn {

namespace {

ClipVisionConfig validated(const ClipVisionConfig& config) {
  check_clip_tower(config);
  check_multiple("imageSize", config.image_size, "patchSize", config.patch_size);
  return config;
}

// Patches and the class token.
int64_t tokens(const ClipVisionConfig& config) {
  const int64_t side = config.image_size / config.patch_size;
  return side * side + 1;
}

}  // namespace

ClipVision::ClipVision(StoredWeights& weights, const ClipVisionConfig& config)
    : config_(validated(config)),
      class_(weights.take("vision_model.embeddings.class_embedding", {config.width})),
      patches_(weights.take("vision_model.embeddings.patch_embedding.weight",
                            {config.width, 3, config.patch_size, config.patch_size})),
      positions_(weights.take("vision_model.embeddings.position_embedding.weight", {tokens(config), config.width})),
      // Published under this misspelt name.
      pre_norm_(weights, "vision_model.pre_layrnorm", config.width, config.layer_norm_epsilon),
      tower_(weights, "vision_model.encoder.layers", config, /*causal=*/false),
      post_norm_(weights, "vision_model.post_layernorm", config.width, config.layer_norm_epsilon),
      projection_(weights, "visual_projection", config.width, config.projection, /*bias=*/false) {
  weights.ignore("vision_model.embeddings.position_ids");  // 0, 1, 2, …, which older files hold
}

at::Tensor ClipVision::forward(const at::Tensor& pixels) const {
  const int64_t size = config_.image_size, patch = config_.patch_size;
  if (pixels.dim() != 4 || pixels.size(0) == 0 || pixels.size(1) != 3 || pixels.size(2) != size ||
      pixels.size(3) != size) {
    throw bad_shape("pixels", words("shape [B, 3, ", size, ", ", size, "], for which the image tower has positions"),
                    words(pixels.sizes(), "; resize the images to it"));
  }
  check_floating_point("pixels", pixels);
  check_device_of("pixels", pixels, "the image tower", patches_.device());
  const at::Tensor embedded =
      at::conv2d(pixels.to(patches_.scalar_type()), patches_, {}, {patch, patch}).flatten(2).transpose(1, 2);
  const at::Tensor sequence = at::cat({class_.expand({pixels.size(0), 1, config_.width}), embedded}, 1) + positions_;
  const at::Tensor last = tower_.forward(pre_norm_.forward(sequence)).last;
  return projection_.forward(post_norm_.forward(last.select(1, 0)), false);
}

}  // namespace eam::nn
