#include "ops/checks.h"

#include <c10/core/Device.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "ops/error.h"

namespace eam::ops {

std::string describe(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::string describe(double value) {
  char text[32];
  for (int digits : {6, 9, 17}) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  return text;
}

void check_device(at::Device device) {
#ifdef EAM_WITH_CUDA
  if (device.is_cpu() || device.is_cuda()) return;
  throw Error(ErrorKind::config, "device: found '" + device.str() + "', expected 'cpu' or 'cuda'");
#else
  if (device.is_cpu()) return;
  throw Error(ErrorKind::config, "device: found '" + device.str() +
                                     "', expected 'cpu': this build has no CUDA kernels; use the cuda variant");
#endif
}

void check_floating(const at::Tensor& tensor, const std::string& name) {
  if (!tensor.defined()) throw Error(ErrorKind::shape, name + ": found no tensor, expected one of shape [B, …]");
  kernel_dtype(tensor.scalar_type(), name);
  if (tensor.dim() == 0) throw Error(ErrorKind::shape, name + ": found a scalar, expected a tensor of shape [B, …]");
  if (tensor.numel() == 0)
    throw Error(ErrorKind::shape,
                name + ": found shape " + describe(tensor.sizes()) + ", expected at least one sample and one element");
  check_device(tensor.device());
}

void check_like(const at::Tensor& tensor, const std::string& name, const at::Tensor& reference,
                const std::string& reference_name) {
  check_floating(tensor, name);
  if (!tensor.sizes().equals(reference.sizes()))
    throw Error(ErrorKind::shape, name + ": found shape " + describe(tensor.sizes()) + ", expected " +
                                      describe(reference.sizes()) + " as " + reference_name + " has");
  if (tensor.device() != reference.device())
    throw Error(ErrorKind::shape, name + ": found on device '" + tensor.device().str() + "', expected '" +
                                      reference.device().str() + "' where " + reference_name + " is");
}

void check_output(const at::Tensor& out, const std::string& name, at::IntArrayRef shape, at::ScalarType dtype,
                  at::Device device) {
  if (!out.defined()) return;
  if (!out.sizes().equals(shape))
    throw Error(ErrorKind::shape, name + ": found shape " + describe(out.sizes()) + ", expected " + describe(shape) +
                                      " as the result has");
  if (out.scalar_type() != dtype)
    throw Error(ErrorKind::shape, name + ": found dtype " + c10::toString(out.scalar_type()) + ", expected " +
                                      c10::toString(dtype) + " as the result has");
  if (out.device() != device)
    throw Error(ErrorKind::shape, name + ": found on device '" + out.device().str() + "', expected '" + device.str() +
                                      "' where the inputs are");
  if (!out.is_contiguous())
    throw Error(ErrorKind::shape, name + ": found a non-contiguous tensor, expected a contiguous one to write to");
}

void check_overlap(const at::Tensor& out, const std::string& name, const at::Tensor& input,
                   const std::string& input_name) {
  if (!out.defined() || out.device() != input.device()) return;
  // By address: two typed arrays over one buffer are two storages to LibTorch.
  auto begin = [](const at::Tensor& tensor) { return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()); };
  if (begin(out) >= begin(input) + input.nbytes() || begin(input) >= begin(out) + out.nbytes()) return;
  if (begin(out) == begin(input) && out.scalar_type() == input.scalar_type()) return;
  throw Error(ErrorKind::config, name + ": found memory that overlaps " + input_name +
                                     ", expected memory of its own or exactly that of an input of the same dtype");
}

void check_updatable(const at::Tensor& tensor, const std::string& name) {
  if (!tensor.defined()) throw Error(ErrorKind::shape, name + ": found no tensor, expected a float32 one");
  if (tensor.scalar_type() != at::kFloat)
    throw Error(ErrorKind::shape, name + ": found dtype " + c10::toString(tensor.scalar_type()) +
                                      ", expected Float: optimizer state and master weights are float32");
  if (!tensor.is_contiguous())
    throw Error(ErrorKind::shape, name + ": found a non-contiguous tensor, expected a contiguous one to update");
  check_device(tensor.device());
}

void check_finite(double value, const std::string& name) {
  if (!std::isfinite(value))
    throw Error(ErrorKind::config, name + ": found " + describe(value) + ", expected a finite number");
}

std::vector<double> checked_times(const std::vector<double>& t, int64_t samples, double terminal_time) {
  if (!(terminal_time > 0 && terminal_time <= 1))
    throw Error(ErrorKind::config, "terminalTime: found " + describe(terminal_time) +
                                       ", expected a time in (0, 1]: 1 for data, 1 − δ for the endpoint of a "
                                       "shortened rollout");
  if (static_cast<int64_t>(t.size()) != samples)
    throw Error(ErrorKind::shape, "t: found " + std::to_string(t.size()) + " entries, expected " +
                                      std::to_string(samples) + ", one a sample");
  std::vector<double> times(t);
  for (size_t b = 0; b < t.size(); ++b) {
    if (!(t[b] >= 0) || static_cast<float>(t[b]) > static_cast<float>(terminal_time))
      throw Error(ErrorKind::config, "t[" + std::to_string(b) + "]: found " + describe(t[b]) +
                                         ", expected a time in [0, " + describe(terminal_time) +
                                         "] (0 is noise, 1 is data)");
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
      throw Error(ErrorKind::shape,
                  name + ": found dtype " + c10::toString(dtype) + ", expected float32, float64, bfloat16 or float16");
  }
}

}  // namespace eam::ops
