#pragma once

#include <ATen/core/Tensor.h>

namespace eam::nn {

// An autoencoder of a published model: latents to images and back. Images are in [0, 1], not clamped.
class Autoencoder {
 public:
  virtual ~Autoencoder() = default;

  // Latents [B, channels, h, w] to images [B, 3, H, W] of the latents' dtype; differentiable. Error(shape) for latents
  // that do not fit.
  virtual at::Tensor decode(const at::Tensor& latents) const = 0;

  struct Decoded {
    at::Tensor images;
    at::Tensor grad;  // ∂(Σ upstream · images)/∂latents
  };
  // upstream has the images' shape; Error(shape) otherwise.
  Decoded decode_gradient(const at::Tensor& latents, const at::Tensor& upstream) const;

  // Images [B, 3, H, W] to the latents of the posterior's mean, of the images' dtype; differentiable.
  virtual at::Tensor encode(const at::Tensor& images) const = 0;
};

}  // namespace eam::nn
