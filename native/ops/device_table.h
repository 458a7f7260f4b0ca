#pragma once

#include <ATen/core/Tensor.h>

#include <cstring>

namespace eam::ops {

// Small host data as one tensor of bytes on `device`. To CUDA it goes through pinned memory, so that nothing waits.
at::Tensor device_table(const void* data, size_t bytes, at::Device device);

}  // namespace eam::ops
