#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"
#include "ops/flow_model.h"

namespace eam::nn {

// What a published network trains, which from here on requires gradients: fresh adapters of these layers in float32
// (lora), or else every tensor that was taken but those that are `fixed`. Error(config) for targets that fit no layer.
NamedTensors train(
    const std::vector<Linear*>& layers, const StoredWeights& weights, const std::optional<LoraConfig>& lora,
    const std::function<bool(const std::string&)>& fixed = [](const std::string&) { return false; });

// Those whose names begin so.
std::vector<at::Tensor> tensors_under(const NamedTensors& tensors, const std::string& prefix);

}  // namespace eam::nn
