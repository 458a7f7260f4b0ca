#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "kernels/affine.h"
#include "ops/checks.h"
#include "ops/ops.h"

namespace eam::ops {

// A term whose tensor is checked.
struct CheckedTerm {
  Floating tensor;
  std::vector<double> coefficients;
};

// Terms and noise, checked, and the memory that the kernels' arguments point into.
class PreparedCombination {
 public:
  // reference: what every term must be like. extra: rows of [B] that travel with the coefficients.
  PreparedCombination(const Floating& reference, const std::vector<CheckedTerm>& terms, const Noise* noise,
                      const std::vector<double>& noise_coefficients,
                      const std::vector<std::vector<double>>& extra = {});

  const kernels::Combination& arguments() const { return arguments_; }
  void check_overlap(const at::Tensor& out, const std::string& name) const;
  const double* extra(size_t row) const { return extra_ + row * static_cast<size_t>(arguments_.samples); }

 private:
  kernels::Combination arguments_;
  std::vector<at::Tensor> tensors_;
  std::vector<std::string> names_;
  at::Tensor table_;  // coefficients, noise coefficients, extra rows, streams: 64 bits each, on the tensors' device
  const double* extra_ = nullptr;
};

// One stream, or one a sample.
void check_streams(const PhiloxNoise& noise, int64_t samples, const std::string& name);

// The combination into `out`, or a new tensor where that is not defined.
at::Tensor evaluate(const PreparedCombination& combination, at::IntArrayRef shape, at::ScalarType dtype,
                    at::Device device, const at::Tensor& out = {});

// What affine does; the result is like the first term, and there is at least one.
at::Tensor affine_checked(const std::vector<CheckedTerm>& terms, const Noise* noise = nullptr,
                          const std::vector<double>& noise_coefficients = {}, const at::Tensor& out = {});

}  // namespace eam::ops
