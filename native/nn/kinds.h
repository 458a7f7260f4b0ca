#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "nn/layers/network.h"
#include "ops/options.h"

namespace eam::nn {

// A kind of network from the list, whatever its configuration is.
struct ListedKind {
  std::string_view name;
  const OptionTable& (*table)();                      // describes the configuration
  std::function<std::shared_ptr<void>()> new_config;  // one to be read into
  NetworkTakes takes;
  std::function<Network(const void* config, NetworkParts parts)> make;
  std::function<NetworkLayout(const void* config)> layout;  // empty where a configuration does not state all sizes
};

// The kind of this name; Error(config) that lists them for any other.
const ListedKind& network_kind(std::string_view name);

// Error(config) for a part that the kind has no use for, and for weights that no file and no seed brings.
void check_parts(const ListedKind& kind, const NetworkParts& parts);

}  // namespace eam::nn
