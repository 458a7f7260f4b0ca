#pragma once

#include <memory>
#include <utility>

#include "nn/layers/network.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// A kind of network that takes all of its tensors from files, as `Interface`; `what` names it in messages.
template <class Made, class Interface, class Config, const char* what>
constexpr NetworkKind<Config> stored_kind() {
  return {.takes = {.files = true, .dtype = true},
          .make = [](const Config& config, NetworkParts parts) -> Network {
            StoredWeights weights(what, std::move(*parts.weights), parts.dtype, parts.device);
            std::shared_ptr<Interface> network = std::make_shared<Made>(weights, config);
            weights.finish();
            return network;
          },
          .layout = [](const Config& config) -> NetworkLayout {
            StoredWeights weights(what, {}, at::kFloat, at::kMeta);
            const Made network(weights, config);
            return {weights.taken(), {}};
          }};
}

}  // namespace eam::nn
