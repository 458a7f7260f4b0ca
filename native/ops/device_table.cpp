#include "ops/device_table.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

namespace eam::ops {

at::Tensor device_table(const void* data, size_t bytes, at::Device device) {
  auto options = at::TensorOptions().dtype(at::kByte).pinned_memory(device.is_cuda());
  at::Tensor host = at::empty({static_cast<int64_t>(bytes)}, options);
  std::memcpy(host.data_ptr(), data, bytes);
  return device.is_cuda() ? host.to(device, at::kByte, /*non_blocking=*/true) : host;
}

}  // namespace eam::ops
