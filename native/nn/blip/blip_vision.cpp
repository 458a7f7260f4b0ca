#include "nn/blip/blip_vision.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/gelu.h>

#include "nn/layers/attention.h"
#include "nn/layers/checks.h"

namespace eam::nn {

namespace {

BlipVisionConfig validated(const BlipVisionConfig& config) {
  check_multiple("vision.imageSize", config.image_size, "vision.patchSize", config.patch_size);
  check_multiple("vision.width", config.width, "vision.heads", config.heads);
  return config;
}

// Patches and the class token.
int64_t tokens(const BlipVisionConfig& config) {
  const int64_t side = config.image_size / config.patch_size;
  return side * side + 1;
}

}  // namespace

BlipVision::BlipVision(StoredWeights& weights, const std::string& prefix, const BlipVisionConfig& config)
    : config_(validated(config)),
      class_(weights.take(prefix + ".cls_token", {1, 1, config.width})),
      positions_(weights.take(prefix + ".pos_embed", {1, tokens(config), config.width})),
      patches_(
          weights.take(prefix + ".patch_embed.proj.weight", {config.width, 3, config.patch_size, config.patch_size})),
      patch_bias_(weights.take(prefix + ".patch_embed.proj.bias", {config.width})),
      norm_(weights, prefix + ".norm", config.width, config.layer_norm_epsilon) {
  const int64_t width = config.width, inner = config.intermediate;
  const double epsilon = config.layer_norm_epsilon;
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string name = prefix + ".blocks." + std::to_string(i) + ".";
    blocks_.push_back(
        {LayerNorm(weights, name + "norm1", width, epsilon), Linear(weights, name + "attn.qkv", width, 3 * width),
         Linear(weights, name + "attn.proj", width, width), LayerNorm(weights, name + "norm2", width, epsilon),
         Linear(weights, name + "mlp.fc1", width, inner), Linear(weights, name + "mlp.fc2", inner, width)});
  }
}

at::Tensor BlipVision::forward(const at::Tensor& pixels) const {
  const int64_t patch = config_.patch_size;
  const at::Tensor embedded =
      at::conv2d(pixels.to(patches_.scalar_type()), patches_, patch_bias_, {patch, patch}).flatten(2).transpose(1, 2);
  at::Tensor x = at::cat({class_.expand({pixels.size(0), 1, config_.width}), embedded}, 1) + positions_;
  for (const Block& block : blocks_) {
    const std::vector<at::Tensor> qkv = block.qkv.forward(block.norm1.forward(x), false).chunk(3, -1);
    x = x + block.proj.forward(attend(qkv[0], qkv[1], qkv[2], config_.heads), false);
    x = x + block.fc2.forward(at::gelu(block.fc1.forward(block.norm2.forward(x), false)), false);
  }
  return norm_.forward(x);
}

}  // namespace eam::nn
