#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/dlpack.h>

#include <cstdint>
#include <memory>
#include <optional>

// DLPack (https://dmlc.github.io/dlpack): tensors of other libraries in the same process, without a copy.
namespace eam::ops {

struct Imported {
  at::Tensor tensor;
  bool read_only;
};

// Takes over the struct that `managed` points to: its deleter is called exactly once, when the last tensor over the
// memory is gone (on any thread) or before an Error leaves. On CUDA the thread that lets go first waits for what
// LibTorch has been given on the device, since the producer may reuse the memory at once. ErrorKind::config for what
// LibTorch's kernels cannot hold: another major version, an unknown dtype or device, sizes or strides below zero,
// unaligned memory.
Imported from_dlpack(DLManagedTensor* managed);
Imported from_dlpack(DLManagedTensorVersioned* managed);

// A row-major tensor over memory that `owner` keeps alive. On CUDA `owner` is let go only when kernels that were
// launched on the memory no longer run: `stream` (ops/stream_order.h) waits for them, or without one the thread that
// lets go. ErrorKind::config for memory that is null, unaligned, or not where `device` says.
at::Tensor from_memory(void* data, at::IntArrayRef shape, at::ScalarType dtype, at::Device device,
                       std::shared_ptr<void> owner, std::optional<uint64_t> stream = std::nullopt);

}  // namespace eam::ops
