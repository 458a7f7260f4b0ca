#include "nn/layers/parameters.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "ops/ops.h"
#include "ops/random.h"

namespace eam::nn {

Parameters::Parameters(uint64_t seed, at::ScalarType dtype, at::Device device)
    : seed_(seed), dtype_(dtype), device_(device) {}

at::Tensor Parameters::normal(std::string name, at::IntArrayRef shape, double standard_deviation) {
  if (device_.is_meta()) {
    return named_.emplace_back(std::move(name), at::empty(shape, at::device(device_).dtype(dtype_))).second;
  }
  const uint64_t stream = stream_of(0, named_.size(), Purpose::initialisation);
  // Drawn in float32 whatever the storage type, so that a half-precision network starts as the rounded full one.
  at::Tensor value = ops::philox_normal(shape, {seed_, {stream}}, at::kFloat, device_).mul_(standard_deviation);
  return named_.emplace_back(std::move(name), value.to(dtype_)).second;
}

at::Tensor Parameters::zeros(std::string name, at::IntArrayRef shape) {
  return named_.emplace_back(std::move(name), at::zeros(shape, at::device(device_).dtype(dtype_))).second;
}

void Parameters::require_grad(bool required) const {
  for (const auto& [name, tensor] : named_) tensor.set_requires_grad(required);
}

}  // namespace eam::nn
