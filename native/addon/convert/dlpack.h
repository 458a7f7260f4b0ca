#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <cstdint>
#include <optional>
#include <string>

#include "ops/dlpack.h"

// Memory that other native code owns, or is to get: DLPack structs, addresses, streams.
namespace eam::addon {

// A bigint that is an address; never 0n.
void* to_pointer(Napi::Value value, const std::string& where);

// undefined and null: none. Otherwise what the array API standard's `stream` says for CUDA: 1n the legacy default
// stream, 2n the thread's, a cudaStream_t's address, −1n none. Error(config) on any other device.
std::optional<uint64_t> to_stream(Napi::Value value, at::Device device, const std::string& where);

// ops/stream_order.h where there is a stream; nothing otherwise. On the executor's thread.
void run_after(at::Device device, std::optional<uint64_t> stream);
void run_before(at::Device device, std::optional<uint64_t> stream);

// A DLPackCapsule over the tensor's memory.
Napi::Object wrap_dlpack(Napi::Env env, const at::Tensor& tensor, bool versioned, bool read_only);

// What a DLPackCapsule, which is spent by this, or { pointer, versioned } holds.
ops::Imported take_dlpack(Napi::Value value);

}  // namespace eam::addon
