#pragma once

#include <string>

#include "ops/flow_model.h"

namespace eam::io {

// The tensors in a file of torch.save (PyTorch 1.6 and later), on the CPU, whichever device they were saved on. What
// lies in nested dictionaries has a dotted name: 'state_dict.logit_scale'. Numbers, texts, lists and tuples are left
// out. Truth values, signed bytes and 16-bit numbers become int32. LibTorch's own unpickler reads the file, after the
// filter of pickle_filter.h; nothing in the file is run. Error(checkpoint) says what it is otherwise and what to do.
NamedTensors read_torch_file(const std::string& path);

}  // namespace eam::io
