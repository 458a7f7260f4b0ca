#include "ops/comparison.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include "ops/checks.h"
#include "ops/error.h"

namespace eam::ops {

Difference largest_difference(const at::Tensor& value, const at::Tensor& reference) {
  if (value.sizes() != reference.sizes() || value.numel() == 0) {
    throw bad_shape("value", words("the reference's shape ", reference.sizes(), " with at least one element"),
                    value.sizes());
  }
  const at::Tensor expected = reference.to(value.device(), at::kDouble);
  // The maximum of numbers of which one is NaN is NaN.
  return {(value.to(at::kDouble) - expected).abs().max().item<double>(), expected.abs().max().item<double>()};
}

}  // namespace eam::ops
