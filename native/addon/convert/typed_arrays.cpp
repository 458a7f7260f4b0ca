#include "addon/convert/typed_arrays.h"

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string>

#include "addon/convert/convert.h"
#include "addon/convert/tensor.h"

namespace eam::addon {
namespace {

// Below this a copy costs less than an ArrayBuffer with a finalizer.
constexpr size_t smallest_shared = 4096;

template <class Visit>
void visit_dtype(at::ScalarType dtype, Visit&& visit) {
  // NOLINTBEGIN(bugprone-branch-clone): each branch visits another type
  switch (dtype) {
    case at::kFloat:
      return visit(float());
    case at::kDouble:
      return visit(double());
    case at::kBFloat16:
      return visit(c10::BFloat16());
    case at::kHalf:
      return visit(c10::Half());
    case at::kInt:
      return visit(int32_t());
    case at::kLong:
      return visit(int64_t());
    case at::kByte:
      return visit(uint8_t());
    default:
      throw Error(ErrorKind::config, "unsupported dtype " + std::string(c10::toString(dtype)));
  }
  // NOLINTEND(bugprone-branch-clone)
}

template <class To, class From>
To cast(From value, size_t index) {
  if constexpr (std::is_integral_v<To> && !std::is_same_v<To, From>) {
    double number = static_cast<double>(value);
    if (!(number >= static_cast<double>(std::numeric_limits<To>::lowest()) &&
          number < std::ldexp(1.0, std::numeric_limits<To>::digits)) ||
        number != std::trunc(number)) {
      throw bad_value(words("Tensor.from: data[", index, "]"),
                      words("an integer of the tensor's dtype, ", +std::numeric_limits<To>::lowest(), " to ",
                            +std::numeric_limits<To>::max()),
                      number);
    }
  }
  return static_cast<To>(value);
}

template <class From>
void convert_from(at::Tensor& destination, const From* source) {
  visit_dtype(destination.scalar_type(), [&](auto zero) {
    using To = decltype(zero);
    To* out = static_cast<To*>(destination.mutable_data_ptr());
    for (int64_t i = 0; i < destination.numel(); ++i) out[i] = cast<To>(source[i], i);
  });
}

Napi::Value typed_array(Napi::Env env, at::ScalarType dtype, size_t length, Napi::ArrayBuffer buffer) {
  switch (dtype) {
    case at::kFloat:
      return Napi::Float32Array::New(env, length, buffer, 0);
    case at::kDouble:
      return Napi::Float64Array::New(env, length, buffer, 0);
    case at::kInt:
      return Napi::Int32Array::New(env, length, buffer, 0);
    case at::kLong:
      return Napi::BigInt64Array::New(env, length, buffer, 0);
    case at::kByte:
      return Napi::Uint8Array::New(env, length, buffer, 0);
    default:
      return Napi::Uint16Array::New(env, length, buffer, 0);
  }
}

}  // namespace

void convert_into(at::Tensor& destination, const uint8_t* source, at::ScalarType own) {
  if (destination.scalar_type() == own) {
    if (destination.nbytes() > 0) std::memcpy(destination.mutable_data_ptr(), source, destination.nbytes());
    return;
  }
  visit_dtype(own, [&](auto zero) { convert_from(destination, reinterpret_cast<const decltype(zero)*>(source)); });
}

void convert_into(at::Tensor& destination, Napi::Array source) {
  Napi::Env env = source.Env();
  visit_dtype(destination.scalar_type(), [&](auto zero) {
    using To = decltype(zero);
    To* out = static_cast<To*>(destination.mutable_data_ptr());
    constexpr int64_t handles_a_scope = 1024;
    for (int64_t begin = 0; begin < destination.numel(); begin += handles_a_scope) {
      Napi::HandleScope scope(env);
      for (int64_t i = begin; i < std::min(begin + handles_a_scope, destination.numel()); ++i) {
        Napi::Value entry = source[static_cast<uint32_t>(i)];
        if (!entry.IsNumber()) {
          refuse(words("Tensor.from: data[", i, "]"), "a number", entry);
        }
        out[i] = cast<To>(entry.As<Napi::Number>().DoubleValue(), i);
      }
    }
  });
}

std::optional<at::ScalarType> own_dtype(const Napi::TypedArray& array, std::optional<at::ScalarType> wanted) {
  switch (array.TypedArrayType()) {
    case napi_float32_array:
      return at::kFloat;
    case napi_float64_array:
      return at::kDouble;
    case napi_int32_array:
      return at::kInt;
    case napi_bigint64_array:
      return at::kLong;
    case napi_uint8_array:
    case napi_uint8_clamped_array:
      return at::kByte;
    case napi_float16_array:
      return at::kHalf;
    case napi_uint16_array:
      if (wanted == at::kHalf || wanted == at::kBFloat16) return wanted;
      throw bad_value("Tensor.from: dtype", "\"float16\" or \"bfloat16\", whose bits a Uint16Array holds",
                      wanted ? in_quotes(dtype_name(*wanted)) : "none");
    default:
      return std::nullopt;
  }
}

Bytes bytes_of(const Napi::TypedArray& array) {
  Napi::Env env = array.Env();
  void* data = nullptr;
  napi_value buffer_value = nullptr;
  napi_get_typedarray_info(env, array, nullptr, nullptr, &data, &buffer_value, nullptr);
  Napi::Object buffer(env, buffer_value);
  bool shared = !buffer.IsArrayBuffer();
  // Older than both properties, or of a fixed length: undefined or false.
  bool fixed = !buffer.Get(shared ? "growable" : "resizable").ToBoolean().Value();
  return {static_cast<uint8_t*>(data), shared, fixed};
}

at::Tensor host_of(const at::Tensor& tensor, size_t references) {
  bool alone = tensor.use_count() <= references && !borrows_memory(tensor) && tensor.storage().use_count() == 1;
  at::Tensor host = tensor.cpu().contiguous();
  return alone || !host.is_alias_of(tensor) ? host : host.clone();
}

Napi::Value to_typed_array(Napi::Env env, const at::Tensor& tensor) {
  size_t bytes = tensor.nbytes();
  if (bytes >= smallest_shared) {
    auto owner = std::make_unique<at::Tensor>(tensor);
    napi_value buffer;
    napi_status status = napi_create_external_arraybuffer(
        env, tensor.mutable_data_ptr(), bytes,
        [](napi_env, void*, void* hint) { delete static_cast<at::Tensor*>(hint); }, owner.get(), &buffer);
    if (status == napi_ok) {
      (void)owner.release();  // the buffer's finalizer has it
      return typed_array(env, tensor.scalar_type(), tensor.numel(), Napi::ArrayBuffer(env, buffer));
    }
    // A runtime that allows no external memory (Electron): copy.
  }
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes);
  if (bytes > 0) std::memcpy(buffer.Data(), tensor.const_data_ptr(), bytes);
  return typed_array(env, tensor.scalar_type(), tensor.numel(), buffer);
}

}  // namespace eam::addon
