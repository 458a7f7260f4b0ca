#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "kernels/storage.h"

// The checks that every operator makes, with messages that name the argument, what was found and what was expected.
namespace eam::ops {

std::string describe(at::IntArrayRef shape);  // [2, 3]
std::string describe(double value);           // as many digits as it takes to tell 1 from 1.0000001

// A floating tensor of at least one dimension and one element, on CPU or CUDA.
void check_floating(const at::Tensor& tensor, const std::string& name);

// Shape and device of `tensor` are those of `reference`.
void check_like(const at::Tensor& tensor, const std::string& name, const at::Tensor& reference,
                const std::string& reference_name);

// `out`, where it is defined, can take a result of this shape, dtype and device.
void check_output(const at::Tensor& out, const std::string& name, at::IntArrayRef shape, at::ScalarType dtype,
                  at::Device device);

// An elementwise kernel may write `out` while it reads `input`: they share no memory, or element by element the same.
void check_overlap(const at::Tensor& out, const std::string& name, const at::Tensor& input,
                   const std::string& input_name);

// A float32 tensor that can be updated in place.
void check_updatable(const at::Tensor& tensor, const std::string& name);

void check_finite(double value, const std::string& name);
void check_device(at::Device device);

// One entry a sample, each in [0, terminal_time]. Returns t with entries that exceed it by float32 rounding only
// set to it.
std::vector<double> checked_times(const std::vector<double>& t, int64_t samples, double terminal_time);

kernels::DType kernel_dtype(at::ScalarType dtype, const std::string& name);

}  // namespace eam::ops
