#include "nn/sd3/sd3_model.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/rsub.h>

#include "nn/layers/checks.h"
#include "ops/error.h"

namespace eam::nn {

namespace {

// What the network computes in where nobody says: the published files are of one dtype but for a few small tensors.
at::ScalarType dtype_of(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (name == "proj_out.weight" && tensor.is_floating_point()) return tensor.scalar_type();
  }
  return at::kFloat;
}

}  // namespace

Sd3Model::Sd3Model(const Sd3TransformerConfig& config, NamedTensors tensors,
                   std::shared_ptr<const Autoencoder> autoencoder, const std::optional<LoraConfig>& lora,
                   std::optional<at::ScalarType> dtype, at::Device device, bool checkpointing)
    : config_(config),
      dtype_(dtype ? *dtype : dtype_of(tensors)),
      device_(device),
      adapted_(lora.has_value()),
      autoencoder_(std::move(autoencoder)),
      transformer_(config, StoredWeights("transformer", std::move(tensors), dtype_, device), lora, checkpointing) {}

at::Tensor Sd3Model::velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) {
  return run(x, t, conditioning, true);
}

at::Tensor Sd3Model::pretrained_velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) {
  return run(x, t, conditioning, false);
}

at::Tensor Sd3Model::images(const at::Tensor& latents) {
  if (!autoencoder_) {
    throw Error(ErrorKind::config, "this model was loaded without an autoencoder, so its latents have no images");
  }
  return autoencoder_->decode(latents);
}

void Sd3Model::check(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) const {
  const int64_t patch = config_.patch_size, most = config_.pos_embed_max_size;
  if (x.dim() != 4 || x.size(1) != config_.in_channels) {
    throw bad_shape("x", words("shape [B, ", config_.in_channels, ", height, width]"), x.sizes());
  }
  for (const int64_t axis : {2, 3}) {
    const int64_t size = x.size(axis);
    if (size > 0 && size % patch == 0 && size / patch <= most) continue;
    throw bad_shape(axis == 2 ? "x: height" : "x: width",
                    words("a multiple of ", patch, " from ", patch, " to ", patch * most,
                          ", the most that the table of positions covers"),
                    size);
  }
  const int64_t batch = x.size(0);
  if (batch == 0) throw bad_shape("x", "at least one sample", words("shape ", x.sizes()));
  if (x.scalar_type() != at::kFloat && x.scalar_type() != at::kDouble) {
    throw bad_shape("x", "float32 or float64 latents whatever the network's dtype", x.scalar_type());
  }
  if (t.dim() != 1 || t.size(0) != batch) {
    throw bad_shape("t", words("shape [", batch, "], one time a sample of x"), t.sizes());
  }
  if (conditioning.size() != 2) {
    throw bad_shape("conditioning", "two tensors, the prompts' embeddings and their pooled embeddings",
                    conditioning.size());
  }
  const at::Tensor &embeddings = conditioning[0], &pooled = conditioning[1];
  if (!embeddings.is_floating_point() || embeddings.dim() != 3 || embeddings.size(0) != batch ||
      embeddings.size(1) == 0 || embeddings.size(2) != config_.joint_attention_dim) {
    throw bad_shape("conditioning[0]",
                    words("floating-point embeddings [", batch, ", L, ", config_.joint_attention_dim, "]"),
                    words(embeddings.scalar_type(), " ", embeddings.sizes()));
  }
  if (!pooled.is_floating_point() || pooled.dim() != 2 || pooled.size(0) != batch ||
      pooled.size(1) != config_.pooled_projection_dim) {
    throw bad_shape("conditioning[1]",
                    words("floating-point pooled embeddings [", batch, ", ", config_.pooled_projection_dim, "]"),
                    words(pooled.scalar_type(), " ", pooled.sizes()));
  }
  check_device_of("x", x, "the model", device_);
  check_device_of("conditioning[0]", embeddings, "the model", device_);
  check_device_of("conditioning[1]", pooled, "the model", device_);
}

at::Tensor Sd3Model::run(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning,
                         bool adapted) const {
  check(x, t, conditioning);
  // In float64, as 1 − t would otherwise round away from the scheduler's σ.
  const at::Tensor timesteps = at::rsub(t.to(device_, at::kDouble), 1).mul(1000).to(at::kFloat);
  return transformer_.forward(x.to(dtype_), timesteps, conditioning[0].to(dtype_), conditioning[1].to(dtype_), adapted)
      .to(x.scalar_type())
      .neg();
}

}  // namespace eam::nn
