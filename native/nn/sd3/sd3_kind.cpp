#include "nn/layers/network.h"
#include "nn/sd3/sd3_model.h"

namespace eam::nn {

namespace {

Network make_sd3(const Sd3TransformerConfig& config, NetworkParts parts) {
  return std::make_shared<Sd3Model>(config, std::move(*parts.weights), std::move(parts.autoencoder), parts.lora,
                                    parts.dtype, parts.device, parts.checkpointing.value_or(false));
}

NetworkLayout sd3_layout(const Sd3TransformerConfig& config) {
  const Sd3Transformer transformer(config, StoredWeights("transformer", {}, at::kFloat, at::kMeta), std::nullopt,
                                   /*checkpointing=*/false);
  return {transformer.weights(), transformer.adaptable()};
}

}  // namespace

extern const NetworkKind<Sd3TransformerConfig> sd3;
constinit const NetworkKind<Sd3TransformerConfig> sd3 = {
    .takes = {.files = true, .dtype = true, .lora = true, .checkpointing = true, .autoencoder = true},
    .make = make_sd3,
    .layout = sd3_layout};

}  // namespace eam::nn
