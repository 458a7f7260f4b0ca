#include "ops/dlpack.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ops/checks.h"
#include "ops/error.h"
#include "ops/stream_order.h"

#ifdef EAM_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace eam::ops {

namespace {

at::ScalarType dtype_of(DLDataType dtype) {
  if (dtype.lanes == 1) {
    if (dtype.code == kDLFloat && dtype.bits == 16) return at::kHalf;
    if (dtype.code == kDLFloat && dtype.bits == 32) return at::kFloat;
    if (dtype.code == kDLFloat && dtype.bits == 64) return at::kDouble;
    if (dtype.code == kDLBfloat && dtype.bits == 16) return at::kBFloat16;
    if (dtype.code == kDLInt && dtype.bits == 32) return at::kInt;
    if (dtype.code == kDLInt && dtype.bits == 64) return at::kLong;
    if (dtype.code == kDLUInt && dtype.bits == 8) return at::kByte;
  }
  throw bad_value("the capsule", "dtype float16, float32, float64, bfloat16, int32, int64 or uint8",
                  words("dtype code ", int{dtype.code}, " of ", int{dtype.bits}, " bits and ", dtype.lanes, " lanes"));
}

at::Device device_of(DLDevice device) {
  if (device.device_type == kDLCPU || device.device_type == kDLCUDAHost) return at::kCPU;
  if (device.device_type == kDLCUDA && device.device_id >= 0 && device.device_id < 128)
    return {at::kCUDA, static_cast<c10::DeviceIndex>(device.device_id)};
  throw bad_value("the capsule", "DLPack device type kDLCPU, kDLCUDAHost or kDLCUDA",
                  words("device type ", static_cast<int>(device.device_type), ", number ", device.device_id));
}

// CUDA only: an address that is no memory of the device would end in an error that poisons the whole process.
void check_memory(const void* data, at::Device device) {
#ifdef EAM_WITH_CUDA
  if (!device.is_cuda()) return;
  cudaPointerAttributes attributes{};
  cudaError_t status = cudaPointerGetAttributes(&attributes, data);
  if (status != cudaSuccess) (void)cudaGetLastError();  // told here: the next launch must not find it again
  bool on_device = attributes.type == cudaMemoryTypeManaged ||
                   (attributes.type == cudaMemoryTypeDevice && attributes.device == device.index());
  if (status != cudaSuccess || !on_device)
    throw bad_value("the memory", words("an address on ", in_quotes(device.str())), "one elsewhere");
#else
  (void)data, (void)device;
#endif
}

at::Tensor over(void* data, at::IntArrayRef shape, std::optional<at::IntArrayRef> strides, at::ScalarType dtype,
                at::Device device, std::shared_ptr<void> owner, std::optional<uint64_t> stream) {
  check_device(device);
  int64_t left = INT64_MAX / 8;  // an element has at most 8 bytes, and LibTorch counts bytes in int64
  bool empty = false;
  for (int64_t size : shape) {
    if (size < 0) throw bad_value("the sizes", "none below 0", shape);
    empty = empty || size == 0;
    if (size > left) throw bad_value("the sizes", "fewer elements", shape);
    if (size > 0) left /= size;
  }
  if (strides) {
    for (int64_t stride : *strides)
      if (stride < 0) throw bad_value("the strides", "none below 0", *strides);
  }
  if (empty) return at::empty(shape, at::TensorOptions(dtype).device(device));
  if (!data) throw bad_value("the memory", "an address", "a null pointer");
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(dtype) != 0)
    throw bad_value("the memory",
                    words("an address that is a multiple of ", c10::elementSize(dtype), ", the dtype's size"),
                    "another");
  check_memory(data, device);
  auto blob = at::for_blob(data, shape);
  if (strides) blob.strides(*strides);
  auto release = [owner = std::move(owner), device, stream](void*) mutable {
#ifdef EAM_WITH_CUDA
    if (device.is_cuda()) settle(device, stream);
#else
    (void)device, (void)stream;
#endif
    owner.reset();
  };
  return blob.deleter(std::move(release))
      .options(at::TensorOptions(dtype).device(device))
      .target_device(device)
      .make_tensor();
}

at::Tensor view_of(const DLTensor& tensor, std::shared_ptr<void> owner) {
  if (tensor.ndim < 0 || tensor.ndim > 64) throw bad_value("the capsule", "0 to 64 dimensions", tensor.ndim);
  if (tensor.ndim > 0 && !tensor.shape) throw bad_value("the capsule", "sizes for its dimensions", "none");
  at::ScalarType dtype = dtype_of(tensor.dtype);
  at::Device device = device_of(tensor.device);
  at::IntArrayRef shape(tensor.shape, static_cast<size_t>(tensor.ndim));
  std::optional<at::IntArrayRef> strides;
  if (tensor.strides) strides.emplace(tensor.strides, static_cast<size_t>(tensor.ndim));
  void* data = tensor.data ? static_cast<char*>(tensor.data) + tensor.byte_offset : nullptr;
  return over(data, shape, strides, dtype, device, std::move(owner), std::nullopt);
}

template <class Managed>
std::shared_ptr<void> owner_of(Managed* managed) {
  return {managed, [](Managed* self) {
            if (self->deleter) self->deleter(self);
          }};
}

}  // namespace

Imported from_dlpack(DLManagedTensor* managed) {
  return {view_of(managed->dl_tensor, owner_of(managed)), false};
}

Imported from_dlpack(DLManagedTensorVersioned* managed) {
  std::shared_ptr<void> owner = owner_of(managed);
  if (managed->version.major != DLPACK_MAJOR_VERSION)
    throw bad_value("the capsule", words("DLPack version ", DLPACK_MAJOR_VERSION, ".x"),
                    words(managed->version.major, ".", managed->version.minor));
  bool read_only = (managed->flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0;
  return {view_of(managed->dl_tensor, std::move(owner)), read_only};
}

at::Tensor from_memory(void* data, at::IntArrayRef shape, at::ScalarType dtype, at::Device device,
                       std::shared_ptr<void> owner, std::optional<uint64_t> stream) {
  return over(data, shape, std::nullopt, dtype, device, std::move(owner), stream);
}

}  // namespace eam::ops
