#include "nn/layers/trained.h"

#include "nn/layers/parameters.h"

namespace eam::nn {

NamedTensors train(const std::vector<Linear*>& layers, const StoredWeights& weights,
                   const std::optional<LoraConfig>& lora, const std::function<bool(const std::string&)>& fixed) {
  NamedTensors trained;
  if (lora) {
    Parameters adapters(lora->seed, at::kFloat, weights.device());
    adapt(layers, adapters, *lora);
    trained = adapters.named();
  } else {
    for (const auto& named : weights.taken()) {
      if (!fixed(named.first)) trained.push_back(named);
    }
  }
  for (const auto& [name, tensor] : trained) tensor.set_requires_grad(true);
  return trained;
}

std::vector<at::Tensor> tensors_under(const NamedTensors& tensors, const std::string& prefix) {
  std::vector<at::Tensor> found;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix)) found.push_back(tensor);
  }
  return found;
}

}  // namespace eam::nn
