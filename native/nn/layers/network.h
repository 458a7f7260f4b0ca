#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "nn/layers/lora.h"
#include "ops/flow_model.h"

// What a kind of network says of itself. A family's folder defines one for each of its networks; kind_list.h lists
// them.
namespace eam::nn {

class Autoencoder;
class Classifier;
class ImageReward;
class TextEncoder;

// A network by what can be done with it.
using Network = std::variant<std::shared_ptr<FlowModel>, std::shared_ptr<TextEncoder>, std::shared_ptr<Autoencoder>,
                             std::shared_ptr<ImageReward>, std::shared_ptr<Classifier>>;

// What a network is made of besides its configuration.
struct NetworkParts {
  std::optional<NamedTensors> weights;  // of its files; none: fresh ones
  std::optional<at::ScalarType> dtype;  // that it computes in; none: the files', or float32
  at::Device device = at::kCPU;
  std::optional<uint64_t> seed;       // of fresh weights
  std::optional<LoraConfig> lora;     // the adapter to train
  std::optional<bool> checkpointing;  // keep one block's activations at a time, see nn/layers/checkpointing.h
  std::shared_ptr<const Autoencoder> autoencoder;
};

// The tensors that a configuration asks for, on the meta device, which holds no numbers.
struct NetworkLayout {
  NamedTensors weights;
  std::vector<std::string> adaptable;  // names of the linear layers that an adapter can be trained on
};

// The parts that a kind has a use for.
struct NetworkTakes {
  bool files = false;  // weights of files
  bool seed = false;   // fresh weights
  bool dtype = false, lora = false, checkpointing = false, autoencoder = false;
};

template <class Config>
struct NetworkKind {
  NetworkTakes takes;

  // The options of `config` are in their ranges, `parts` are those that the kind takes. Error(config) for a
  // configuration that still describes no network, Error(checkpoint) for weights that do not fit.
  Network (*make)(const Config& config, NetworkParts parts);

  // Null where a configuration does not state all sizes.
  NetworkLayout (*layout)(const Config& config);
};

}  // namespace eam::nn
