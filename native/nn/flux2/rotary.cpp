#include "nn/flux2/rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros.h>

namespace eam::nn {

namespace {

constexpr size_t row_axis = 1, column_axis = 2, text_axis = 3;

}  // namespace

at::Tensor rotary_positions(int64_t text, int64_t rows, int64_t columns, const std::vector<int64_t>& axes, double theta,
                            at::ScalarType dtype, at::Device device) {
  const auto options = at::device(device).dtype(at::kDouble);
  const auto range = [&](int64_t count) { return at::arange(count, options); };
  const auto none = [&](int64_t count) { return at::zeros({count}, options); };
  std::vector<at::Tensor> angles;
  for (size_t axis = 0; axis < axes.size(); ++axis) {
    at::Tensor image = none(rows * columns);
    if (axis == row_axis) image = range(rows).repeat_interleave(columns);
    if (axis == column_axis) image = range(columns).repeat({rows});
    const at::Tensor places = at::cat({axis == text_axis ? range(text) : none(text), image});
    const at::Tensor exponents = at::arange(0, axes[axis], 2, options).div(axes[axis]);
    angles.push_back(at::outer(places, at::pow(theta, exponents).reciprocal()));
  }
  const at::Tensor all = at::cat(angles, 1);
  const at::ScalarType precision = dtype == at::kDouble ? at::kComplexDouble : at::kComplexFloat;
  return at::polar(at::ones_like(all), all).to(precision);
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& positions) {
  const at::ScalarType real = positions.scalar_type() == at::kComplexDouble ? at::kDouble : at::kFloat;
  const int64_t pairs = positions.size(1);
  const at::Tensor numbers = at::view_as_complex(x.to(real).unflatten(-1, {-1, pairs, 2}));
  return at::view_as_real(numbers * positions.unsqueeze(1)).flatten(-3).to(x.scalar_type());
}

}  // namespace eam::nn
