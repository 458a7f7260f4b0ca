#pragma once

#ifdef EAM_WITH_CUDA

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <string>

#include "ops/error.h"

namespace eam::ops {

// Makes the device current and launches on the stream that LibTorch uses there.
template <class Launch>
void launch_on(at::Device device, const char* kernel, const Launch& launch) {
  c10::cuda::CUDAGuard guard(device);
  cudaError_t status = launch(c10::cuda::getCurrentCUDAStream(device.index()).stream());
  if (status == cudaErrorMemoryAllocation)
    throw Error(ErrorKind::out_of_memory, std::string(kernel) + ": " + cudaGetErrorString(status));
  if (status != cudaSuccess)
    throw Error(ErrorKind::config, std::string(kernel) + ": CUDA kernel launch failed on " + device.str() + ": " +
                                       cudaGetErrorString(status) +
                                       "; check that the driver and the device suit this build (eam doctor)");
}

}  // namespace eam::ops

#endif
