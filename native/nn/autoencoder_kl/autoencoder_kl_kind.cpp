#include "nn/autoencoder_kl/autoencoder_kl.h"
#include "nn/layers/stored_network.h"

namespace eam::nn {

static constexpr char kAutoencoderKlName[] = "autoencoder";
extern const NetworkKind<AutoencoderKlConfig> autoencoder_kl;
constinit const NetworkKind<AutoencoderKlConfig> autoencoder_kl =
    stored_kind<AutoencoderKl, Autoencoder, AutoencoderKlConfig, kAutoencoderKlName>();

}  // namespace eam::nn
