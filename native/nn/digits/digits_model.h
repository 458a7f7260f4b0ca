#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/digits/digits_options.h"
#include "nn/layers/lora.h"
#include "nn/layers/parameters.h"
#include "ops/flow_model.h"

namespace eam::nn {

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
  double latent_variance() const override { return config_.latent_variance; }
  NamedTensors trainable() override;
  NamedTensors weights() override;
  bool pretrained_is_frozen() const override { return adapted_; }

  // Names of the layers that adapters can be trained on.
  std::vector<std::string> adaptable() const { return adaptable_; }

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
  std::vector<std::string> adaptable_;
};

}  // namespace eam::nn
