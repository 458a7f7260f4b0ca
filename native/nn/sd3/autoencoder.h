#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/layers/stored_weights.h"
#include "nn/sd3/autoencoder_blocks.h"

namespace eam::nn {

struct AutoencoderConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  int64_t latent_channels = 4;
  std::vector<int64_t> block_out_channels;  // of the levels, the finest first
  int64_t layers_per_block = 1;
  int64_t norm_groups = 32;
  bool mid_block_attention = true;
  bool use_quant_conv = true;
  bool use_post_quant_conv = true;
  double scaling_factor = 1;  // latents = (z − shift) · scaling
  double shift_factor = 0;
};

// The autoencoder of latent diffusion (arXiv 2112.10752) in diffusers' layout. A latent pixel stands for downscale()²
// pixels of the image. Any height, width and batch.
class Autoencoder {
 public:
  // Takes its own tensors; the caller then calls weights.finish().
  Autoencoder(StoredWeights& weights, const AutoencoderConfig& config);

  // Latents [B, latent_channels, h, w] to images [B, out_channels, h·downscale, w·downscale] of the latents' dtype, in
  // [0, 1] but not clamped; differentiable. Error(shape) for latents that do not fit.
  at::Tensor decode(const at::Tensor& latents) const;

  struct Decoded {
    at::Tensor images;
    at::Tensor grad;  // ∂(Σ upstream · images)/∂latents
  };
  // upstream has the images' shape; Error(shape) otherwise.
  Decoded decode_gradient(const at::Tensor& latents, const at::Tensor& upstream) const;

  // Images [B, in_channels, H, W] in [0, 1], H and W multiples of downscale(), to the latents of the posterior's mean,
  // of the images' dtype; differentiable.
  at::Tensor encode(const at::Tensor& images) const;

  const AutoencoderConfig& config() const { return config_; }
  int64_t downscale() const { return int64_t{1} << (config_.block_out_channels.size() - 1); }
  at::Device device() const { return encoder_.in.device(); }

 private:
  struct Half {
    Conv2d in;
    std::vector<Level> levels;
    MidBlock mid;
    GroupNorm norm;
    Conv2d out;
  };

  static Half encoder(StoredWeights& weights, const AutoencoderConfig& config);
  static Half decoder(StoredWeights& weights, const AutoencoderConfig& config);

  const AutoencoderConfig config_;
  Half encoder_, decoder_;
  std::optional<Conv2d> quant_, post_quant_;
};

}  // namespace eam::nn
