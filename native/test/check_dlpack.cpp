// Counts how often a DLPack struct's deleter is called: exactly once, whether the struct becomes a tensor or is
// refused, and only when the last tensor over its memory is gone. Exits with 1 otherwise.

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "ops/dlpack.h"
#include "ops/error.h"
#include "ops/stream_order.h"

#ifdef EAM_WITH_CUDA
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#endif

namespace {

int failures = 0;

void expect(bool passed, const std::string& what) {
  failures += !passed;
  if (!passed) std::printf("FAILED: %s\n", what.c_str());
}

// A producer of [2, 3] float32 numbers 0 … 5 that counts.
template <class Managed>
struct Producer {
  float numbers[6] = {0, 1, 2, 3, 4, 5};
  int64_t shape[2] = {2, 3};
  int64_t strides[2] = {3, 1};
  int deleted = 0;
  Managed managed{};

  Producer() {
    if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>) managed.version = {DLPACK_MAJOR_VERSION, 0};
    managed.manager_ctx = this;
    managed.deleter = [](Managed* self) { ++static_cast<Producer*>(self->manager_ctx)->deleted; };
    managed.dl_tensor = {numbers, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape, strides, 0};
  }
};

template <class Managed>
void taken(const std::string& kind) {
  Producer<Managed> producer;
  {
    at::Tensor tensor = eam::ops::from_dlpack(&producer.managed).tensor;
    expect(tensor.const_data_ptr() == producer.numbers, kind + ": shares memory");
    at::Tensor view = tensor.select(0, 1);
    tensor.reset();
    expect(producer.deleted == 0, kind + ": kept while a view lives");
    expect(view[2].item<float>() == 5, kind + ": the view reads it");
    std::thread([last = std::move(view)]() mutable { last.reset(); }).join();
  }
  expect(producer.deleted == 1, kind + ": deleted once, on another thread");
}

template <class Managed>
void refused(const std::string& what, const std::function<void(Producer<Managed>&)>& spoil) {
  Producer<Managed> producer;
  spoil(producer);
  bool threw = false;
  try {
    eam::ops::from_dlpack(&producer.managed);
  } catch (const eam::Error& error) {
    threw = error.kind() == eam::ErrorKind::config;
  }
  expect(threw, what + ": refused");
  expect(producer.deleted == 1, what + ": deleted once");
}

template <class Managed>
void check(const std::string& kind) {
  taken<Managed>(kind);
  using P = Producer<Managed>;
  refused<Managed>(kind + " dtype", [](P& p) { p.managed.dl_tensor.dtype = {kDLComplex, 64, 1}; });
  refused<Managed>(kind + " lanes", [](P& p) { p.managed.dl_tensor.dtype.lanes = 4; });
  refused<Managed>(kind + " device", [](P& p) { p.managed.dl_tensor.device = {kDLMetal, 0}; });
  refused<Managed>(kind + " dimensions", [](P& p) { p.managed.dl_tensor.ndim = -1; });
  refused<Managed>(kind + " sizes", [](P& p) { p.shape[0] = -2; });
  refused<Managed>(kind + " many elements", [](P& p) { p.shape[0] = p.shape[1] = int64_t{1} << 40; });
  refused<Managed>(kind + " strides", [](P& p) { p.strides[1] = -1; });
  refused<Managed>(kind + " null memory", [](P& p) { p.managed.dl_tensor.data = nullptr; });
  refused<Managed>(kind + " unaligned memory", [](P& p) { p.managed.dl_tensor.byte_offset = 2; });

  Producer<Managed> empty;  // an empty tensor needs no memory: the struct is let go at once
  empty.shape[0] = 0;
  at::Tensor tensor = eam::ops::from_dlpack(&empty.managed).tensor;
  expect(tensor.numel() == 0 && empty.deleted == 1, kind + ": empty");

  Producer<Managed> silent;  // a deleter may be missing
  silent.managed.deleter = nullptr;
  expect(eam::ops::from_dlpack(&silent.managed).tensor.numel() == 6, kind + ": without a deleter");
}

#ifdef EAM_WITH_CUDA

// The deleter notes whether kernels that were launched on the memory still run.
void released_in_order() {
  at::Tensor memory = at::ones({int64_t{1} << 26}, at::kCUDA);
  int64_t size = memory.numel();
  cudaError_t seen = cudaErrorUnknown;
  DLManagedTensor managed{};
  managed.manager_ctx = &seen;
  managed.deleter = [](DLManagedTensor* self) {
    *static_cast<cudaError_t*>(self->manager_ctx) = cudaStreamQuery(c10::cuda::getCurrentCUDAStream().stream());
  };
  managed.dl_tensor = {memory.data_ptr(), {kDLCUDA, 0}, 1, {kDLFloat, 32, 1}, &size, nullptr, 0};
  {
    at::Tensor tensor = eam::ops::from_dlpack(&managed).tensor;
    for (int i = 0; i < 500; ++i) tensor.mul_(1.0001);
    expect(cudaStreamQuery(c10::cuda::getCurrentCUDAStream().stream()) == cudaErrorNotReady, "CUDA: kernels still run");
  }
  expect(seen == cudaSuccess, "CUDA: deleted after the kernels");
}

void refused_stream() {
  cudaStream_t stream;
  cudaSetDevice(1);
  cudaStreamCreate(&stream);
  cudaSetDevice(0);
  bool threw = false;
  try {
    eam::ops::run_after({at::kCUDA, 0}, reinterpret_cast<uint64_t>(stream));
  } catch (const eam::Error& error) {
    threw = error.kind() == eam::ErrorKind::config;
  }
  expect(threw, "CUDA: another device's stream: refused");
  expect(cudaGetLastError() == cudaSuccess, "CUDA: another device's stream: no error is left for the next launch");
  cudaStreamDestroy(stream);
}

#endif

}  // namespace

int main() {
#ifdef EAM_WITH_CUDA
  // Before any operator: LibTorch looks for its CUDA side once.
  const int devices = c10::cuda::device_count();
  if (devices > 0 && !dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) expect(false, dlerror());
#endif
  check<DLManagedTensor>("unversioned");
  check<DLManagedTensorVersioned>("versioned");
  refused<DLManagedTensorVersioned>("major version", [](auto& p) { p.managed.version.major = 2; });
  Producer<DLManagedTensorVersioned> constant;
  constant.managed.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  expect(eam::ops::from_dlpack(&constant.managed).read_only, "the read-only flag");

#ifdef EAM_WITH_CUDA
  if (devices > 0) released_in_order();
  if (devices > 1) refused_stream();
  if (devices < 2) std::printf("CUDA: %d devices; the checks of streams need two\n", devices);
#endif

  if (failures == 0) std::printf("all checks passed\n");
  return failures == 0 ? 0 : 1;
}
