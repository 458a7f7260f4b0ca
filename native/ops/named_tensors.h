#pragma once

#include <string_view>

#include "ops/flow_model.h"

namespace eam {

// Copies every tensor of `source` into the tensor of `destination` with its name, in place. Both must hold the same
// names with the same shapes; otherwise nothing is copied and ErrorKind::checkpoint lists what does not fit. `what`
// names the destination in that message ("the model's weights").
void copy_named(const NamedTensors& destination, const NamedTensors& source, std::string_view what);

}  // namespace eam
