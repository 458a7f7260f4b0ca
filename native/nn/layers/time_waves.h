#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace eam::nn {

// The sinusoidal embedding of time as diffusers' networks have it: cosines, then sines, of frequencies from 1 to 1e-4.
class TimeWaves {
 public:
  TimeWaves(int64_t channels, at::Device device);

  // timesteps [B] float32 to [B, channels] of dtype.
  at::Tensor forward(const at::Tensor& timesteps, at::ScalarType dtype) const;

 private:
  at::Tensor frequencies_;
};

}  // namespace eam::nn
