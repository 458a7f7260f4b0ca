#pragma once

#include <memory>
#include <optional>

#include "nn/flux2/flux2_transformer.h"
#include "nn/layers/autoencoder.h"
#include "nn/layers/latent_flow_model.h"
#include "nn/layers/lora.h"
#include "ops/flow_model.h"

namespace eam::nn {

// FLUX.2 as a flow from noise (t = 0) to data (t = 1): the transformer predicts noise − data at σ = 1 − t, the velocity
// is its negative. The conditioning is one tensor, the prompts' embeddings [B, L, joint_attention_dim]. Latents, those
// of Flux2Autoencoder, and velocities are float32 (or float64) whatever the dtype of the network.
class Flux2Model final : public LatentFlowModel {
 public:
  // tensors: of the published transformer, by name. dtype: of the network; none: of the tensors. autoencoder: null
  // where no images are asked for. Error(config) for an impossible configuration or adapter, Error(checkpoint) for
  // tensors that do not fit.
  Flux2Model(const Flux2TransformerConfig& config, NamedTensors tensors, std::shared_ptr<const Autoencoder> autoencoder,
             const std::optional<LoraConfig>& lora, std::optional<at::ScalarType> dtype, at::Device device,
             bool checkpointing);

  void fold() override;
  void unfold() override { transformer_.unfold(); }
  NamedTensors trainable() override { return transformer_.trainable(); }
  NamedTensors weights() override { return transformer_.weights(); }

 private:
  void check(const at::Tensor& x, const Conditioning& conditioning) const override;
  at::Tensor noise_minus_data(const at::Tensor& x, const at::Tensor& timesteps, const Conditioning& conditioning,
                              bool adapted) const override;

  const Flux2TransformerConfig config_;
  Flux2Transformer transformer_;
  const bool folds_;
};

}  // namespace eam::nn
