#pragma once

#include <memory>
#include <optional>

#include "nn/layers/autoencoder.h"
#include "nn/layers/latent_flow_model.h"
#include "nn/layers/lora.h"
#include "nn/sd3/sd3_transformer.h"
#include "ops/flow_model.h"

namespace eam::nn {

// Stable Diffusion 3 and 3.5 as a flow from noise (t = 0) to data (t = 1): the transformer predicts noise − data at
// σ = 1 − t, the velocity is its negative. The conditioning is two tensors: the prompts' embeddings [B, L,
// joint_attention_dim] and their pooled ones [B, pooled_projection_dim]. Latents and velocities are float32 (or
// float64) whatever the dtype of the network.
class Sd3Model final : public LatentFlowModel {
 public:
  // tensors: of the published transformer, by name. dtype: of the network; none: of the tensors. autoencoder: null
  // where no images are asked for. Error(config) for an impossible configuration or adapter, Error(checkpoint) for
  // tensors that do not fit.
  Sd3Model(const Sd3TransformerConfig& config, NamedTensors tensors, std::shared_ptr<const Autoencoder> autoencoder,
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

  const Sd3TransformerConfig config_;
  Sd3Transformer transformer_;
  const bool folds_;
};

}  // namespace eam::nn
