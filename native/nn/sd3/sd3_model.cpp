#include "nn/sd3/sd3_model.h"

#include <ATen/core/Tensor.h>

#include "nn/layers/checks.h"
#include "ops/error.h"

namespace eam::nn {

Sd3Model::Sd3Model(const Sd3TransformerConfig& config, NamedTensors tensors,
                   std::shared_ptr<const Autoencoder> autoencoder, const std::optional<LoraConfig>& lora,
                   std::optional<at::ScalarType> dtype, at::Device device, bool checkpointing)
    : LatentFlowModel(config.in_channels, dtype_of(tensors, "proj_out.weight", dtype), device, lora.has_value(),
                      std::move(autoencoder)),
      config_(config),
      transformer_(
          config, StoredWeights("transformer", std::move(tensors), dtype_of(tensors, "proj_out.weight", dtype), device),
          lora, checkpointing),
      folds_(lora && lora->fold) {}

void Sd3Model::fold() {
  if (folds_) transformer_.fold();
}

void Sd3Model::check(const at::Tensor& x, const Conditioning& conditioning) const {
  const int64_t patch = config_.patch_size, most = config_.pos_embed_max_size;
  for (const int64_t axis : {2, 3}) {
    const int64_t size = x.size(axis);
    if (size > 0 && size % patch == 0 && size / patch <= most) continue;
    throw bad_shape(axis == 2 ? "x: height" : "x: width",
                    words("a multiple of ", patch, " from ", patch, " to ", patch * most,
                          ", the most that the table of positions covers"),
                    size);
  }
  if (conditioning.size() != 2) {
    throw bad_shape("conditioning", "two tensors, the prompts' embeddings and their pooled embeddings",
                    conditioning.size());
  }
  check_embeddings(conditioning[0], x.size(0), config_.joint_attention_dim);
  const at::Tensor& pooled = conditioning[1];
  if (!pooled.is_floating_point() || pooled.dim() != 2 || pooled.size(0) != x.size(0) ||
      pooled.size(1) != config_.pooled_projection_dim) {
    throw bad_shape("conditioning[1]",
                    words("floating-point pooled embeddings [", x.size(0), ", ", config_.pooled_projection_dim, "]"),
                    words(pooled.scalar_type(), " ", pooled.sizes()));
  }
  check_device_of("conditioning[1]", pooled, "the model", device());
}

at::Tensor Sd3Model::noise_minus_data(const at::Tensor& x, const at::Tensor& timesteps,
                                      const Conditioning& conditioning, bool adapted) const {
  return transformer_.forward(x, timesteps, conditioning[0], conditioning[1], adapted);
}

}  // namespace eam::nn
