#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <cstdint>
#include <optional>

// JavaScript's arrays of numbers into tensors, and tensors into typed arrays.
namespace eam::addon {

// The dtype that a typed array holds as it is, nothing where a tensor has none like it; Uint16Array holds whichever
// 16-bit type is asked for, Error(config) where none is.
std::optional<at::ScalarType> own_dtype(const Napi::TypedArray& array, std::optional<at::ScalarType> wanted);

struct Bytes {
  uint8_t* data;
  bool shared;  // on a SharedArrayBuffer, which cannot be transferred away
  bool fixed;   // memory that stays where it is and as long as it is
};
Bytes bytes_of(const Napi::TypedArray& array);

// Fills a contiguous host tensor with as many numbers of dtype `own`, converted on this thread where its dtype is
// another; Error(config) for a number that an integer dtype cannot hold.
void convert_into(at::Tensor& destination, const uint8_t* source, at::ScalarType own);
void convert_into(at::Tensor& destination, Napi::Array source);

// The tensor's numbers on the host, row-major, for JavaScript to keep. Where only `references` to the tensor, one
// storage and no other native code can see the memory, nothing writes to it while JavaScript reads: no copy. Anything
// else is copied here: the next job may change it.
at::Tensor host_of(const at::Tensor& tensor, size_t references);

// The tensor's numbers as a typed array of JavaScript, which owns the memory from here on.
Napi::Value to_typed_array(Napi::Env env, const at::Tensor& tensor);

}  // namespace eam::addon
