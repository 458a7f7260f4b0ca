#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace eam {

// What a network is conditioned on: a fixed, model-specific list of tensors whose first dimension is the batch
// (class labels for the digits; prompt embeddings for a text-to-image model). Opaque to the algorithms.
using Conditioning = std::vector<at::Tensor>;

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// All that an algorithm knows of a network. x is [B, …], t is float32 [B] in [0, 1] (0 noise, 1 data).
class FlowModel {
 public:
  virtual ~FlowModel() = default;

  // E[Ẋ_t | X_t = x], with the adapters (if any) on; recorded by autograd unless a no-grad guard is held.
  virtual at::Tensor velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) = 0;

  // The velocity with the adapters off: that of the frozen model that fine-tuning starts from.
  virtual at::Tensor pretrained_velocity(const at::Tensor& x, const at::Tensor& t,
                                         const Conditioning& conditioning) = 0;

  // Lets velocity(), where no gradient is recorded, take copies of the weights to which the adapters' updates are
  // added. They are made now, and change no more until unfold(), which frees them. Without adapters, and where the
  // network was told not to, there are none.
  virtual void fold() {}
  virtual void unfold() {}

  // Latents at time 1 to images [B, channels, H, W] in [0, 1] (not clamped), differentiable.
  virtual at::Tensor images(const at::Tensor& latents) = 0;

  // κ_d, the variance of the elements of the latents at time 1, about their mean.
  virtual double latent_variance() const { return 1; }

  // What the optimizer updates: the adapters' tensors, or every tensor when there are no adapters.
  virtual NamedTensors trainable() = 0;

  // Every tensor of the network itself, adapters excluded.
  virtual NamedTensors weights() = 0;

  // Whether training leaves pretrained_velocity as it is; fine-tuning against it makes no sense otherwise.
  virtual bool pretrained_is_frozen() const = 0;
};

}  // namespace eam
