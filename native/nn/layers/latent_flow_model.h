#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "nn/layers/autoencoder.h"
#include "ops/flow_model.h"

namespace eam::nn {

// A published network that predicts noise minus data from latents [B, channels, H, W] at a noise level σ = 1 − t, with
// the autoencoder that makes images of them: the conventions of diffusers' flow models as a FlowModel.
class LatentFlowModel : public FlowModel {
 public:
  at::Tensor velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override;
  at::Tensor pretrained_velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override;
  // Error(config) where there is no autoencoder.
  at::Tensor images(const at::Tensor& latents) override;
  bool pretrained_is_frozen() const override { return adapted_; }

 protected:
  // dtype: that of the network. autoencoder: null where no images are asked for.
  LatentFlowModel(int64_t channels, at::ScalarType dtype, at::Device device, bool adapted,
                  std::shared_ptr<const Autoencoder> autoencoder);

  // Error(shape) for a height or width that the network does not take, and for another conditioning than its own; that
  // x and t are what they should be is checked before.
  virtual void check(const at::Tensor& x, const Conditioning& conditioning) const = 0;

  // x and conditioning in the network's dtype, timesteps 1000 σ in float32 [B].
  virtual at::Tensor noise_minus_data(const at::Tensor& x, const at::Tensor& timesteps,
                                      const Conditioning& conditioning, bool adapted) const = 0;

  // Error(shape) for embeddings of prompts, conditioning[0], other than [batch, L, width].
  void check_embeddings(const at::Tensor& embeddings, int64_t batch, int64_t width) const;

  at::Device device() const { return device_; }

 private:
  at::Tensor run(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning, bool adapted) const;

  const int64_t channels_;
  const at::ScalarType dtype_;
  const at::Device device_;
  const bool adapted_;
  const std::shared_ptr<const Autoencoder> autoencoder_;
};

// What a network computes in: what is asked for, or else the type of its tensor `name`, as the published files are of
// one type but for a few small tensors.
at::ScalarType dtype_of(const NamedTensors& tensors, const char* name, std::optional<at::ScalarType> wanted);

}  // namespace eam::nn
