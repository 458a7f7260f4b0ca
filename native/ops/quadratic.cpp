#include "ops/quadratic.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <string>

#include "ops/checks.h"
#include "ops/error.h"

namespace eam::ops {

QuadraticValues quadratic(const at::Tensor& x, const Quadratic& form, bool want_grad) {
  check_floating(x, "x");
  const at::Tensor rows = x.flatten(1);
  const auto coefficients = [&](const std::vector<double>& values, const char* name) {
    if (static_cast<int64_t>(values.size()) != rows.size(1)) {
      throw bad_shape(name, words("one number for each of a sample's ", rows.size(1)), values.size());
    }
    return at::tensor(values, at::kDouble).to(x.device());
  };
  const at::Tensor linear = coefficients(form.linear, "linear"), curvature = coefficients(form.quadratic, "quadratic");
  const at::Tensor data = rows.to(at::kDouble), offset = data - coefficients(form.center, "center");
  const at::Tensor slope = curvature * offset;
  const at::Tensor values = (data * linear - slope * offset / 2).sum(1).to(at::kCPU, at::kFloat).contiguous();
  QuadraticValues result{{values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()}, {}};
  if (want_grad) result.grad = (linear - slope).to(x.scalar_type()).view_as(x);
  return result;
}

}  // namespace eam::ops
