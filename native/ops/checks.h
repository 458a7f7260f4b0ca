#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "kernels/storage.h"

// The checks that every operator makes.
namespace eam::ops {

// A floating tensor of at least one dimension and one element, on CPU or CUDA.
void check_floating(const at::Tensor& tensor, const std::string& name);

// A tensor that check_floating has passed, with the name of the argument that it is. A function that takes one does not
// check it again.
class Floating {
 public:
  // Error as check_floating throws it.
  Floating(at::Tensor tensor, std::string name);

  const at::Tensor& tensor() const { return tensor_; }
  const at::Tensor* operator->() const { return &tensor_; }
  const std::string& name() const { return name_; }
  kernels::DType dtype() const { return dtype_; }
  int64_t samples() const { return tensor_.size(0); }
  int64_t elements() const { return tensor_.numel() / tensor_.size(0); }  // of a sample

 private:
  at::Tensor tensor_;
  std::string name_;
  kernels::DType dtype_;
};

// Shape and device of `tensor` are those of `reference`.
void check_like(const Floating& tensor, const at::Tensor& reference, const std::string& reference_name);

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
