#include "nn/autoencoder_kl/autoencoder_kl.h"
#include "nn/layers/stored_network.h"

namespace eam::nn {

namespace {

Network make_autoencoder_kl(const AutoencoderKlConfig& config, NetworkParts parts) {
  return make_stored<AutoencoderKl, Autoencoder>("autoencoder", config, std::move(parts));
}

NetworkLayout autoencoder_kl_layout(const AutoencoderKlConfig& config) {
  return stored_layout<AutoencoderKl>("autoencoder", config);
}

}  // namespace

extern const NetworkKind<AutoencoderKlConfig> autoencoder_kl;
constinit const NetworkKind<AutoencoderKlConfig> autoencoder_kl = {
    .takes = {.files = true, .dtype = true}, .make = make_autoencoder_kl, .layout = autoencoder_kl_layout};

}  // namespace eam::nn
