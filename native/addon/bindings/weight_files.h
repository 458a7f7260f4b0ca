#pragma once

#include <napi.h>

#include <string>

#include "ops/flow_model.h"

namespace eam::addon {

// The tensors of a NativeWeightFiles argument, or of an object of Tensors; Error(config) for anything else.
NamedTensors to_weights(Napi::Value value, const std::string& where);

}  // namespace eam::addon
