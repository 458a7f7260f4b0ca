#pragma once

#include <ATen/core/Tensor.h>

namespace eam::ops {

struct Difference {
  double largest = 0;  // max |value − reference|; NaN where either has one
  double scale = 0;    // max |reference|
};

// How far `value` is from `reference`, in float64 on value's device. Both have one shape, any dtype and device.
// Error(shape) where they have not, or no element.
Difference largest_difference(const at::Tensor& value, const at::Tensor& reference);

}  // namespace eam::ops
