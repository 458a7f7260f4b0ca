#include "nn/layers/network.h"
#include "nn/torchscript/torchscript_model.h"

namespace eam::nn {

namespace {

Network make_torchscript(const TorchScriptModelConfig& config, NetworkParts parts) {
  return std::make_shared<TorchScriptModel>(config, parts.weights.value_or(NamedTensors{}), parts.device);
}

}  // namespace

extern const NetworkKind<TorchScriptModelConfig> torchscript;
constinit const NetworkKind<TorchScriptModelConfig> torchscript = {
    .takes = {.files = true}, .make = make_torchscript, .layout = nullptr};

}  // namespace eam::nn
