#pragma once

#include <string>

#include "ops/flow_model.h"

namespace eam::nn {

// The tensors of a file of open_clip's under the names that the Hugging Face layout gives them, so that ClipText and
// ClipVision take them: joint attention inputs are cut into query, key and value, projections transposed. Views, no
// copies. A tensor of any other name keeps it, for StoredWeights::finish() to report.
NamedTensors from_open_clip(const NamedTensors& tensors);

// What a file of open_clip's calls the tensor that from_open_clip gives this name, and which part of it, or transposed;
// any other name as it is.
std::string open_clip_name(const std::string& name);

}  // namespace eam::nn
