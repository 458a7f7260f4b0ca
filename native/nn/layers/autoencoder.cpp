#include "nn/layers/autoencoder.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "ops/error.h"

namespace eam::nn {

Autoencoder::Decoded Autoencoder::decode_gradient(const at::Tensor& latents, const at::Tensor& upstream) const {
  at::AutoGradMode grad_mode(true);
  const at::Tensor leaf = latents.detach().requires_grad_(true);
  const at::Tensor images = decode(leaf);
  if (upstream.sizes() != images.sizes() || !upstream.is_floating_point() || upstream.device() != images.device()) {
    throw bad_shape("upstream",
                    words("a floating-point gradient ", images.sizes(), " on ", images.device(), " as the images are"),
                    words(upstream.scalar_type(), " ", upstream.sizes(), " on ", upstream.device()));
  }
  return {images.detach(), torch::autograd::grad({images}, {leaf}, {upstream.to(images.scalar_type())})[0]};
}

}  // namespace eam::nn
