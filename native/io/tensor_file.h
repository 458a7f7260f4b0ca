#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ops/flow_model.h"

// The bytes of safetensors files: 8 bytes of header length, the header (JSON, read and written by the caller), then
// the data section. Every failure is Error(checkpoint) and names the file.
namespace eam::io {

struct TensorEntry {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  int64_t begin, end;  // bytes, counted from the start of the data section (the header's data_offsets)
};

// Every entry is checked against the file's size and its own shape before a byte is read, whoever made it.

// Tensors with memory of their own, filled from the file: for files that are small beside the machine's memory, such as
// checkpoints. A file that is cut short while it is read is an Error(checkpoint), as is one that was short before.
NamedTensors read_tensors(const std::string& path, const std::vector<TensorEntry>& entries);

// Tensors that read from a private memory map of the file: they cost memory only where touched, and writing to one
// does not reach the file. The map lives as long as a tensor of it; MappedFile says what happens where another process
// cuts the file short meanwhile. Where a file system maps no files, they are read.
NamedTensors map_tensors(const std::string& path, const std::vector<TensorEntry>& entries);

// Writes `header` (its length in front), then the tensors' elements, beside `path`, syncs, and renames to `path`: a
// reader, or a process killed here, sees the old file or the whole new one. Of several that write the same path at once
// each writes a file of its own, and the last to rename stays. On any failure nothing is left beside it; a killed
// process leaves `path`.tmp-PROCESS-COUNT, which is in nobody's way.
void write_tensors(const std::string& path, const std::vector<uint8_t>& header, const std::vector<at::Tensor>& tensors);

}  // namespace eam::io
