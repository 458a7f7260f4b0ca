#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/autoencoder_kl/autoencoder_kl_options.h"
#include "nn/autoencoder_kl/blocks.h"
#include "nn/layers/autoencoder.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// The autoencoder of latent diffusion (arXiv 2112.10752) in diffusers' layout. A latent pixel stands for downscale()²
// pixels of the image. Any height, width and batch.
class AutoencoderKl final : public Autoencoder {
 public:
  // Takes its own tensors; the caller then calls weights.finish().
  AutoencoderKl(StoredWeights& weights, const AutoencoderKlConfig& config);

  // Latents [B, latent_channels, h, w] to images [B, out_channels, h·downscale, w·downscale].
  at::Tensor decode(const at::Tensor& latents) const override;

  // Images [B, in_channels, H, W], H and W multiples of downscale().
  at::Tensor encode(const at::Tensor& images) const override;

  // Pixels a side that one latent stands for.
  int64_t downscale() const { return int64_t{1} << (config_.block_out_channels.size() - 1); }
  at::Device device() const { return encoder_.in.device(); }
  at::ScalarType dtype() const { return encoder_.in.dtype(); }

 private:
  struct Half {
    Conv2d in;
    std::vector<Level> levels;
    MidBlock mid;
    GroupNorm norm;
    Conv2d out;
  };

  void allow_tf32();  // of the decoder
  static Half encoder(StoredWeights& weights, const AutoencoderKlConfig& config);
  static Half decoder(StoredWeights& weights, const AutoencoderKlConfig& config);

  const AutoencoderKlConfig config_;
  Half encoder_, decoder_;
  std::optional<Conv2d> quant_, post_quant_;
};

}  // namespace eam::nn
