#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace eam::nn {

// x * weight + bias with zeros on all four sides, as at::conv2d computes it, but on a GPU the products' factors are
// rounded to TF32 (10 bits of mantissa, sums in float32), forward and backward. LibTorch reads whether they may be from
// a flag of the whole process, and in the backward pass on another thread: the flag is set around each of the two calls
// alone, and then as it was, also where they throw. weight and bias are frozen. The CPU computes in float32 as ever.
at::Tensor tf32_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                            int64_t padding);

}  // namespace eam::nn
