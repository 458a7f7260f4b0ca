#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace eam::ops {

// q(x) = Σ_j linear_j x_j − ½ Σ_j quadratic_j (x_j − center_j)² of each sample's d numbers, in memory order.
struct Quadratic {
  std::vector<double> linear, quadratic, center;  // d entries each
};

struct QuadraticValues {
  std::vector<float> values;  // [B]
  at::Tensor grad;            // ∂(Σ values)/∂x, the shape of x, where wanted
};

// x: [B, …] floating-point with d numbers a sample. Error(shape) names what does not fit.
QuadraticValues quadratic(const at::Tensor& x, const Quadratic& form, bool want_grad);

}  // namespace eam::ops
