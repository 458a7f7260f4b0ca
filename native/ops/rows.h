#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace eam::ops {

// The rows of these tensors, one below the other, in the type of the first, as a tensor of this shape. Error(shape)
// where they are of different widths or do not fill it.
at::Tensor join_rows(const std::vector<at::Tensor>& tensors, at::IntArrayRef shape);

// As many tensors of equally many rows, with memory of their own. Error(shape) where the rows do not go into them.
std::vector<at::Tensor> split_rows(const at::Tensor& tensor, int64_t parts);

}  // namespace eam::ops
