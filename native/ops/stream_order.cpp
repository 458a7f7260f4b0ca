#include "ops/stream_order.h"

#ifdef EAM_WITH_CUDA

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <exception>
#include <string>

#include "ops/error.h"

namespace eam::ops {

namespace {

void check(cudaError_t status) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // told here: the next launch, which is not to blame, must not find it again
  throw bad_value("stream", "a cudaStream_t of the tensor's device that still exists",
                  words("one that CUDA refuses: ", cudaGetErrorString(status)));
}

// 1 and 2 are CUDA's own handles for the two default streams.
cudaStream_t handle_of(uint64_t stream) {
  return reinterpret_cast<cudaStream_t>(stream);
}

cudaStream_t own_stream(at::Device device) {
  return c10::cuda::getCurrentCUDAStream(device.index()).stream();
}

void order(at::Device device, cudaStream_t first, cudaStream_t second) {
  c10::cuda::CUDAGuard guard(device);
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  cudaError_t status = cudaEventRecord(event, first);
  if (status == cudaSuccess) status = cudaStreamWaitEvent(second, event, 0);
  cudaEventDestroy(event);  // freed once it has happened
  check(status);
}

}  // namespace

void run_after(at::Device device, uint64_t stream) {
  order(device, handle_of(stream), own_stream(device));
}

void run_before(at::Device device, uint64_t stream) {
  order(device, own_stream(device), handle_of(stream));
}

void settle(at::Device device, std::optional<uint64_t> stream) noexcept {
  if (stream) {
    try {
      return run_before(device, *stream);
    } catch (const std::exception&) {
      // It is gone: wait in its place.
    }
  }
  try {
    c10::cuda::CUDAGuard guard(device);
    check(cudaStreamSynchronize(own_stream(device)));
  } catch (const std::exception&) {
    // The process is ending: nothing is left to wait for.
  }
}

}  // namespace eam::ops

#endif
