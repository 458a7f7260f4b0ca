#pragma once

#include <memory>
#include <utility>

#include "nn/layers/network.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// Makes a network that takes all of its tensors from StoredWeights, as `Interface`; `what` names it in messages.
template <class Made, class Interface, class Config>
Network make_stored(const char* what, const Config& config, NetworkParts parts) {
  StoredWeights weights(what, std::move(*parts.weights), parts.dtype, parts.device);
  std::shared_ptr<Interface> network = std::make_shared<Made>(weights, config);
  weights.finish();
  return network;
}

// The tensors that such a network takes.
template <class Made, class Config>
NetworkLayout stored_layout(const char* what, const Config& config) {
  StoredWeights weights(what, {}, at::kFloat, at::kMeta);
  const Made network(weights, config);
  return {weights.taken(), {}};
}

}  // namespace eam::nn
