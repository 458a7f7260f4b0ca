#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/tensor_file.h"

namespace eam::io {

// One of the files that hold a network's weights.
struct WeightFile {
  std::string path;

  // A safetensors file's entries, as its header says; none: a file of torch.save.
  std::optional<std::vector<TensorEntry>> entries;

  // Where names begin so, only those tensors are taken, without this beginning: of a dictionary within a dictionary.
  std::string within;

  // Only tensors whose names begin like one of these are taken; empty: all.
  std::vector<std::string> only;

  // Put before every name, for a part of the network that comes from a file of its own.
  std::string under;
};

// The tensors of all the files: safetensors mapped (see map_tensors), files of torch.save read. Error(checkpoint) as of
// map_tensors and read_torch_file, and for a name that two of the files have.
NamedTensors open_weights(const std::vector<WeightFile>& files);

}  // namespace eam::io
