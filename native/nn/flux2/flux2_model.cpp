#include "nn/flux2/flux2_model.h"

#include <ATen/core/Tensor.h>

#include "ops/error.h"

namespace eam::nn {

Flux2Model::Flux2Model(const Flux2TransformerConfig& config, NamedTensors tensors,
                       std::shared_ptr<const Autoencoder> autoencoder, const std::optional<LoraConfig>& lora,
                       std::optional<at::ScalarType> dtype, at::Device device, bool checkpointing)
    : LatentFlowModel(config.in_channels, dtype_of(tensors, "proj_out.weight", dtype), device, lora.has_value(),
                      std::move(autoencoder)),
      config_(config),
      transformer_(
          config, StoredWeights("transformer", std::move(tensors), dtype_of(tensors, "proj_out.weight", dtype), device),
          lora, checkpointing),
      folds_(lora && lora->fold) {}

void Flux2Model::fold() {
  if (folds_) transformer_.fold();
}

void Flux2Model::check(const at::Tensor& x, const Conditioning& conditioning) const {
  if (x.size(2) == 0 || x.size(3) == 0) {
    throw bad_shape("x", "a height and width of at least 1", words("shape ", x.sizes()));
  }
  if (conditioning.size() != 1) {
    throw bad_shape("conditioning", "one tensor, the prompts' embeddings", conditioning.size());
  }
  check_embeddings(conditioning[0], x.size(0), config_.joint_attention_dim);
}

at::Tensor Flux2Model::noise_minus_data(const at::Tensor& x, const at::Tensor& timesteps,
                                        const Conditioning& conditioning, bool adapted) const {
  return transformer_.forward(x, timesteps, conditioning[0], adapted);
}

}  // namespace eam::nn
