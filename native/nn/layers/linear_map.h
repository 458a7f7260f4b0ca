#pragma once

#include <ATen/core/Tensor.h>

namespace eam::nn {

// x Wᵀ + b of x [..., in], weight [out, in] and bias [out] or none: at::linear, by the faster of LibTorch's two
// libraries for matrix products.
at::Tensor linear_map(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

}  // namespace eam::nn
