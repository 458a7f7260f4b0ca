#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/layers/lora.h"
#include "nn/layers/parameters.h"
#include "ops/flow_model.h"

namespace eam::nn {

struct DigitsModelConfig {
  int64_t image_size = 28;  // pixels, a multiple of patch_size
  int64_t channels = 1;
  int64_t patch_size = 4;
  int64_t width = 128;  // a multiple of heads and of 4
  int64_t depth = 6;
  int64_t heads = 4;
  double mlp_ratio = 4;
  int64_t classes = 10;  // label `classes` is the null class of classifier-free guidance
};

// A class-conditional diffusion transformer on pixels (DiT with adaLN-Zero, arXiv 2212.09748). Latents are the images
// themselves, [B, channels, image_size, image_size] in [−1, 1]; the conditioning is one int64 tensor of labels [B].
class DigitsModel final : public FlowModel {
 public:
  // With adapters (lora), the weights are frozen and the adapters train in float32; without, every weight trains.
  DigitsModel(const DigitsModelConfig& config, uint64_t seed, const std::optional<LoraConfig>& lora,
              at::ScalarType dtype, at::Device device);

  at::Tensor velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override;
  at::Tensor pretrained_velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override;
  at::Tensor images(const at::Tensor& latents) override;
  NamedTensors trainable() override;
  NamedTensors weights() override;
  bool pretrained_is_frozen() const override { return adapted_; }

 private:
  struct Block {
    Linear qkv, projection, fc1, fc2, modulation;
  };

  at::Tensor run(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning, bool adapted) const;
  void check(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) const;
  at::Tensor attention(const Block& block, const at::Tensor& x, bool adapted) const;

  const DigitsModelConfig config_;
  const at::ScalarType dtype_;
  const at::Device device_;
  const bool adapted_;
  Parameters parameters_, adapters_;
  at::Tensor frequencies_;  // of the time embedding
  at::Tensor positions_;    // [patches, width]
  Linear patch_embed_, time_fc1_, time_fc2_;
  at::Tensor label_embed_;  // [classes + 1, width]
  std::vector<Block> blocks_;
  Linear final_modulation_, final_linear_;
};

}  // namespace eam::nn
