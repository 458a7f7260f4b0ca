#include "nn/layers/latent_flow_model.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/rsub.h>

#include <utility>

#include "nn/layers/checks.h"
#include "ops/error.h"

namespace eam::nn {

LatentFlowModel::LatentFlowModel(int64_t channels, at::ScalarType dtype, at::Device device, bool adapted,
                                 std::shared_ptr<const Autoencoder> autoencoder)
    : channels_(channels), dtype_(dtype), device_(device), adapted_(adapted), autoencoder_(std::move(autoencoder)) {}

at::Tensor LatentFlowModel::velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) {
  return run(x, t, conditioning, true);
}

at::Tensor LatentFlowModel::pretrained_velocity(const at::Tensor& x, const at::Tensor& t,
                                                const Conditioning& conditioning) {
  return run(x, t, conditioning, false);
}

at::Tensor LatentFlowModel::images(const at::Tensor& latents) {
  if (!autoencoder_) {
    throw Error(ErrorKind::config, "this model was loaded without an autoencoder, so its latents have no images");
  }
  return autoencoder_->decode(latents);
}

void LatentFlowModel::check_embeddings(const at::Tensor& embeddings, int64_t batch, int64_t width) const {
  if (!embeddings.is_floating_point() || embeddings.dim() != 3 || embeddings.size(0) != batch ||
      embeddings.size(1) == 0 || embeddings.size(2) != width) {
    throw bad_shape("conditioning[0]", words("floating-point embeddings [", batch, ", L, ", width, "]"),
                    words(embeddings.scalar_type(), " ", embeddings.sizes()));
  }
  check_device_of("conditioning[0]", embeddings, "the model", device_);
}

at::Tensor LatentFlowModel::run(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning,
                                bool adapted) const {
  if (x.dim() != 4 || x.size(1) != channels_) {
    throw bad_shape("x", words("shape [B, ", channels_, ", height, width]"), x.sizes());
  }
  const int64_t batch = x.size(0);
  if (batch == 0) throw bad_shape("x", "at least one sample", words("shape ", x.sizes()));
  if (x.scalar_type() != at::kFloat && x.scalar_type() != at::kDouble) {
    throw bad_shape("x", "float32 or float64 latents whatever the network's dtype", x.scalar_type());
  }
  if (t.dim() != 1 || t.size(0) != batch) {
    throw bad_shape("t", words("shape [", batch, "], one time a sample of x"), t.sizes());
  }
  check(x, conditioning);
  check_device_of("x", x, "the model", device_);
  // In float64, as 1 − t would otherwise round away from the scheduler's σ.
  const at::Tensor timesteps = at::rsub(t.to(device_, at::kDouble), 1).mul(1000).to(at::kFloat);
  Conditioning in_dtype;
  for (const at::Tensor& tensor : conditioning) in_dtype.push_back(tensor.to(dtype_));
  return noise_minus_data(x.to(dtype_), timesteps, in_dtype, adapted).to(x.scalar_type()).neg();
}

at::ScalarType dtype_of(const NamedTensors& tensors, const char* name, std::optional<at::ScalarType> wanted) {
  if (wanted) return *wanted;
  for (const auto& [own, tensor] : tensors) {
    if (own == name && tensor.is_floating_point()) return tensor.scalar_type();
  }
  return at::kFloat;
}

}  // namespace eam::nn
