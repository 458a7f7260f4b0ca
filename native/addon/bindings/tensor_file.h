#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "io/tensor_file.h"

namespace eam::addon {

// TensorFileEntry[] of JavaScript: the tensors of a safetensors file and their places.
std::vector<io::TensorEntry> to_entries(Napi::Value value, const std::string& where);

}  // namespace eam::addon
