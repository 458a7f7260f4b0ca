#include "nn/flux2/flux2_autoencoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/pixel_shuffle.h>
#include <ATen/ops/pixel_unshuffle.h>

#include <string>

#include "nn/layers/checks.h"
#include "ops/error.h"

namespace eam::nn {

namespace {

int64_t channels_of(const Flux2AutoencoderConfig& config) {
  return config.networks.latent_channels * config.patch_size * config.patch_size;
}

// A statistic of each channel, [C, 1, 1]: of the networks' dtype, but of float32 where that is half, since latents are
// float32 whatever the networks compute in.
at::Tensor statistic(StoredWeights& weights, const char* name, const Flux2AutoencoderConfig& config,
                     at::ScalarType networks) {
  const at::ScalarType dtype = at::isReducedFloatingType(networks) ? at::kFloat : networks;
  return weights.take(std::string("bn.") + name, {channels_of(config)}, dtype).unsqueeze(-1).unsqueeze(-1);
}

}  // namespace

Flux2Autoencoder::Flux2Autoencoder(StoredWeights& weights, const Flux2AutoencoderConfig& config)
    : config_(config),
      networks_(weights, config.networks),
      mean_(statistic(weights, "running_mean", config, networks_.dtype())),
      deviation_((statistic(weights, "running_var", config, networks_.dtype()) + config.batch_norm_epsilon).sqrt()) {
  weights.ignore("bn.num_batches_tracked");
  // A variance below 0 would make every image NaN, whatever it is decoded from.
  if (!deviation_.is_meta() && !deviation_.gt(0).all().item<bool>()) {
    throw Error(ErrorKind::checkpoint, "bn.running_var: expected variances of at least 0, got others");
  }
}

at::Tensor Flux2Autoencoder::decode(const at::Tensor& latents) const {
  check_grid("latents", latents, channels_of(config_), 1, "the autoencoder", networks_.device());
  return networks_.decode(
      at::pixel_shuffle(latents * deviation_ + mean_, config_.patch_size).to(latents.scalar_type()));
}

at::Tensor Flux2Autoencoder::encode(const at::Tensor& images) const {
  check_grid("images", images, config_.networks.in_channels, downscale(), "the autoencoder", networks_.device());
  return ((at::pixel_unshuffle(networks_.encode(images), config_.patch_size) - mean_) / deviation_)
      .to(images.scalar_type());
}

}  // namespace eam::nn
