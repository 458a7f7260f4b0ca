#pragma once

#include <ATen/core/Tensor.h>

namespace eam::ops {

// GELU by its tanh approximation, as at::gelu(x, "tanh"); float32 on the CPU by a kernel of ours, several times as fast
// as LibTorch's, which takes longer than the matrix product before it.
at::Tensor gelu_tanh(const at::Tensor& x);

}  // namespace eam::ops
