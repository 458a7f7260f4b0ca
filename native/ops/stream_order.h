#pragma once

#ifdef EAM_WITH_CUDA

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

// Order between LibTorch's stream on a device and the stream of somebody else, without waiting on the host. `stream` is
// a cudaStream_t as a number, or what the array API standard calls 1 (the legacy default stream) and 2 (the thread's).
namespace eam::ops {

// What LibTorch runs on `device` from here on comes after what `stream` holds now.
void run_after(at::Device device, uint64_t stream);

// What `stream` runs from here on comes after what LibTorch has been given on `device` so far.
void run_before(at::Device device, uint64_t stream);

// Before memory on `device` is given back that LibTorch's kernels may still use: what `stream` runs from here on comes
// after them. Without a stream, or where it is gone, this thread waits.
void settle(at::Device device, std::optional<uint64_t> stream) noexcept;

}  // namespace eam::ops

#endif
