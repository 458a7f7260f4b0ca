#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/dlpack.h>

#include <memory>

// DLPack (https://dmlc.github.io/dlpack): tensors of other libraries in the same process, without a copy.
namespace eam::ops {

struct Imported {
  at::Tensor tensor;
  bool read_only;
};

// Takes over the struct that `managed` points to: its deleter is called exactly once, when the last tensor over the
// memory is gone (on any thread) or before an Error leaves. ErrorKind::config for what LibTorch's kernels cannot hold:
// another major version, an unknown dtype or device, sizes or strides below zero, unaligned memory.
Imported from_dlpack(DLManagedTensor* managed);
Imported from_dlpack(DLManagedTensorVersioned* managed);

// A row-major tensor over memory that `owner` keeps alive. ErrorKind::config for memory that is null, unaligned, or not
// where `device` says.
at::Tensor from_memory(void* data, at::IntArrayRef shape, at::ScalarType dtype, at::Device device,
                       std::shared_ptr<void> owner);

}  // namespace eam::ops
