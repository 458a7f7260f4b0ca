#include "ops/checks.h"

#include <c10/core/Device.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "ops/error.h"

namespace eam::ops {

void check_device(at::Device device) {
#ifdef EAM_WITH_CUDA
  if (device.is_cpu() || device.is_cuda()) return;
  throw bad_value("device", "\"cpu\" or \"cuda\"", in_quotes(device.str()));
#else
  if (device.is_cpu()) return;
  throw bad_value("device", "\"cpu\", since this build has no CUDA kernels: use the cuda variant for others",
                  in_quotes(device.str()));
#endif
}

namespace {

// The dtype of a tensor that passes check_floating.
kernels::DType checked_dtype(const at::Tensor& tensor, const std::string& name) {
  if (!tensor.defined()) throw bad_shape(name, "a tensor of shape [B, …]", "none");
  const kernels::DType dtype = kernel_dtype(tensor.scalar_type(), name);
  if (tensor.dim() == 0) throw bad_shape(name, "a tensor of shape [B, …]", "a scalar");
  if (tensor.numel() == 0)
    throw bad_shape(name, "at least one sample and one element", words("shape ", tensor.sizes()));
  check_device(tensor.device());
  return dtype;
}

}  // namespace

void check_floating(const at::Tensor& tensor, const std::string& name) {
  checked_dtype(tensor, name);
}

Floating::Floating(at::Tensor tensor, std::string name)
    : tensor_(std::move(tensor)), name_(std::move(name)), dtype_(checked_dtype(tensor_, name_)) {}

void check_like(const Floating& tensor, const at::Tensor& reference, const std::string& reference_name) {
  if (!tensor->sizes().equals(reference.sizes()))
    throw bad_shape(tensor.name(), words("shape ", reference.sizes(), " as ", reference_name, " has"), tensor->sizes());
  if (tensor->device() != reference.device())
    throw bad_shape(tensor.name(),
                    words("device ", in_quotes(reference.device().str()), " where ", reference_name, " is"),
                    in_quotes(tensor->device().str()));
}

void check_output(const at::Tensor& out, const std::string& name, at::IntArrayRef shape, at::ScalarType dtype,
                  at::Device device) {
  if (!out.defined()) return;
  if (!out.sizes().equals(shape)) throw bad_shape(name, words("shape ", shape, " as the result has"), out.sizes());
  if (out.scalar_type() != dtype)
    throw bad_shape(name, words("dtype ", dtype, " as the result has"), out.scalar_type());
  if (out.device() != device)
    throw bad_shape(name, words("device ", in_quotes(device.str()), " where the inputs are"),
                    in_quotes(out.device().str()));
  if (!out.is_contiguous()) throw bad_shape(name, "a contiguous tensor to write to", "a non-contiguous one");
}

void check_overlap(const at::Tensor& out, const std::string& name, const at::Tensor& input,
                   const std::string& input_name) {
  if (!out.defined() || out.device() != input.device()) return;
  // By address: two typed arrays over one buffer are two storages to LibTorch.
  auto begin = [](const at::Tensor& tensor) { return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()); };
  if (begin(out) >= begin(input) + input.nbytes() || begin(input) >= begin(out) + out.nbytes()) return;
  if (begin(out) == begin(input) && out.scalar_type() == input.scalar_type()) return;
  throw bad_value(name, "memory of its own or exactly that of an input of the same dtype",
                  words("memory that overlaps ", input_name));
}

void check_updatable(const at::Tensor& tensor, const std::string& name) {
  if (!tensor.defined()) throw bad_shape(name, "a float32 tensor", "none");
  if (tensor.scalar_type() != at::kFloat)
    throw bad_shape(name, "dtype Float, as optimizer state and master weights are", tensor.scalar_type());
  if (!tensor.is_contiguous()) throw bad_shape(name, "a contiguous tensor to update", "a non-contiguous one");
  check_device(tensor.device());
}

void check_finite(double value, const std::string& name) {
  if (!std::isfinite(value)) throw bad_value(name, "a finite number", value);
}

std::vector<double> checked_times(const std::vector<double>& t, int64_t samples, double terminal_time) {
  if (!(terminal_time > 0 && terminal_time <= 1))
    throw bad_value("terminalTime", "a time in (0, 1], 1 for data and 1 − δ for the endpoint of a shortened rollout",
                    terminal_time);
  if (static_cast<int64_t>(t.size()) != samples)
    throw bad_shape("t", words(samples, " entries, one a sample"), t.size());
  std::vector<double> times(t);
  for (size_t b = 0; b < t.size(); ++b) {
    if (!(t[b] >= 0) || static_cast<float>(t[b]) > static_cast<float>(terminal_time))
      throw bad_value(words("t[", b, "]"), words("a time in [0, ", terminal_time, "] (0 is noise, 1 is data)"), t[b]);
    times[b] = std::min(t[b], terminal_time);
  }
  return times;
}

kernels::DType kernel_dtype(at::ScalarType dtype, const std::string& name) {
  switch (dtype) {
    case at::kFloat:
      return kernels::DType::float32;
    case at::kDouble:
      return kernels::DType::float64;
    case at::kBFloat16:
      return kernels::DType::bfloat16;
    case at::kHalf:
      return kernels::DType::float16;
    default:
      throw bad_shape(name, "dtype float32, float64, bfloat16 or float16", dtype);
  }
}

}  // namespace eam::ops
