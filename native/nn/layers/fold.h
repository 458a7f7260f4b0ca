#pragma once

#include <ATen/core/Tensor.h>

namespace eam::nn {

// weight [out, in] + scale B A, of A [rank, in] and B [out, rank] in float32, in weight's dtype. It is computed in
// float32, of float64 weights in float64. In half types the sum is rounded up or down by chance, the likelier to the
// nearer number, so that its mean is right: rounded to the nearest, an update of less than half a weight's last bit
// would leave the weight as it was, and nothing of it would arrive. The chance is the same in every call.
at::Tensor folded(const at::Tensor& weight, const at::Tensor& lora_A, const at::Tensor& lora_B, double scale);

}  // namespace eam::nn
