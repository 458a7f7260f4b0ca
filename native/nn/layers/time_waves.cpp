#include "nn/layers/time_waves.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/outer.h>

#include <cmath>

namespace eam::nn {

// In float32 at every step, as when the networks were trained.
TimeWaves::TimeWaves(int64_t channels, at::Device device)
    : frequencies_(at::arange(channels / 2, at::kFloat).mul(-std::log(1e4)).div(channels / 2).exp().to(device)) {}

at::Tensor TimeWaves::forward(const at::Tensor& timesteps, at::ScalarType dtype) const {
  const at::Tensor angles = at::outer(timesteps, frequencies_);
  return at::cat({angles.cos(), angles.sin()}, 1).to(dtype);
}

}  // namespace eam::nn
