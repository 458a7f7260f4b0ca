#include "nn/flux2/flux2_autoencoder.h"
#include "nn/flux2/flux2_model.h"
#include "nn/layers/network.h"
#include "nn/layers/stored_network.h"

namespace eam::nn {

namespace {

Network make_flux2(const Flux2TransformerConfig& config, NetworkParts parts) {
  return std::make_shared<Flux2Model>(config, std::move(*parts.weights), std::move(parts.autoencoder), parts.lora,
                                      parts.dtype, parts.device, parts.checkpointing.value_or(false));
}

NetworkLayout flux2_layout(const Flux2TransformerConfig& config) {
  const Flux2Transformer transformer(config, StoredWeights("transformer", {}, at::kFloat, at::kMeta), std::nullopt,
                                     /*checkpointing=*/false);
  return {transformer.weights(), transformer.adaptable()};
}

}  // namespace

extern const NetworkKind<Flux2TransformerConfig> flux2;
constinit const NetworkKind<Flux2TransformerConfig> flux2 = {
    .takes = {.files = true, .dtype = true, .lora = true, .checkpointing = true, .autoencoder = true},
    .make = make_flux2,
    .layout = flux2_layout};

static constexpr char kFlux2AutoencoderName[] = "autoencoder";
extern const NetworkKind<Flux2AutoencoderConfig> flux2_autoencoder;
constinit const NetworkKind<Flux2AutoencoderConfig> flux2_autoencoder =
    stored_kind<Flux2Autoencoder, Autoencoder, Flux2AutoencoderConfig, kFlux2AutoencoderName>();

}  // namespace eam::nn
