#pragma once

#include <ATen/core/Tensor.h>

#include "nn/autoencoder_kl/autoencoder_kl.h"
#include "nn/flux2/flux2_options.h"
#include "nn/layers/autoencoder.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// FLUX.2's autoencoder, in diffusers' layout. It is the autoencoder of latent diffusion; squares of patch_size latents
// a side are then put side by side along the channels, and normalised by the statistics of a batch norm
// (bn.running_mean, bn.running_var).
class Flux2Autoencoder final : public Autoencoder {
 public:
  // Takes its own tensors; the caller then calls weights.finish(). Error(checkpoint) where a variance is negative or
  // NaN.
  Flux2Autoencoder(StoredWeights& weights, const Flux2AutoencoderConfig& config);

  // Latents [B, latent_channels · patch_size², h, w] to images [B, out_channels, h · downscale, w · downscale], of any
  // h and w.
  at::Tensor decode(const at::Tensor& latents) const override;

  // Images [B, in_channels, H, W], H and W multiples of downscale().
  at::Tensor encode(const at::Tensor& images) const override;

  // Pixels a side that one latent stands for.
  int64_t downscale() const { return config_.patch_size * networks_.downscale(); }

 private:
  const Flux2AutoencoderConfig config_;
  AutoencoderKl networks_;
  at::Tensor mean_, deviation_;
};

}  // namespace eam::nn
