#include "addon/convert/convert.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "addon/runtime/cancellation.h"

namespace eam::addon {
namespace {

struct NamedDtype {
  std::string_view name;
  at::ScalarType dtype;
};

constexpr NamedDtype dtypes[] = {
    {"float32", at::kFloat}, {"float64", at::kDouble}, {"bfloat16", at::kBFloat16}, {"float16", at::kHalf},
    {"int32", at::kInt},     {"int64", at::kLong},     {"uint8", at::kByte},
};

template <class Allows>
at::ScalarType find_dtype(std::string_view name, const std::string& where, Allows allows) {
  std::vector<std::string> names;
  for (const NamedDtype& entry : dtypes) {
    if (!allows(entry.dtype)) continue;
    if (entry.name == name) return entry.dtype;
    names.emplace_back(entry.name);
  }
  throw bad_value(where, one_of(names), in_quotes(name));
}

template <class Array>
std::vector<double> doubles_of(Napi::Value value) {
  Array array = value.As<Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

}  // namespace

bool is_options(Napi::Value value) {
  return value.IsObject() && !value.IsArray() && !value.IsTypedArray() && !value.IsFunction() && !value.IsNull();
}

void refuse(const std::string& where, const std::string& expected, Napi::Value found) {
  if (found.IsUndefined()) throw missing_value(where, expected);
  throw bad_value(where, expected, describe(found));
}

std::string describe(Napi::Value value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return value.As<Napi::Boolean>().Value() ? "true" : "false";
    case napi_number:
      return value.ToString().Utf8Value();
    case napi_bigint:
      return value.ToString().Utf8Value() + "n";
    case napi_string:
      return in_quotes(value.As<Napi::String>().Utf8Value());
    case napi_symbol:
      return "a symbol";
    case napi_function:
      return "a function";
    default:
      break;
  }
  if (is_tensor(value)) {
    const auto& held = TensorObject::Unwrap(value.As<Napi::Object>())->held();
    if (!held) return "Tensor (disposed)";
    return "Tensor " + std::string(dtype_name(held->scalar_type())) + words(" ", held->sizes());
  }
  if (value.IsArray()) return "an array of length " + std::to_string(value.As<Napi::Array>().Length());
  if (value.IsTypedArray()) {
    return value.As<Napi::Object>().Get("constructor").As<Napi::Object>().Get("name").ToString().Utf8Value() +
           " of length " + std::to_string(value.As<Napi::TypedArray>().ElementLength());
  }
  return "an object";
}

at::ScalarType dtype_of(std::string_view name, const std::string& where) {
  return find_dtype(name, where, [](at::ScalarType) { return true; });
}

at::ScalarType floating_dtype_of(std::string_view name, const std::string& where) {
  return find_dtype(name, where, [](at::ScalarType dtype) { return at::isFloatingType(dtype); });
}

std::string_view dtype_name(at::ScalarType dtype) {
  for (const NamedDtype& entry : dtypes) {
    if (entry.dtype == dtype) return entry.name;
  }
  return c10::toString(dtype);
}

int cuda_device_count() {
  return at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
}

at::Device device_of(const std::string& name, const std::string& where) {
  if (name == "cpu") return at::kCPU;
  int index = 0;
  if (name != "cuda") {
    bool valid = name.starts_with("cuda:") && name.size() > 5 && name.size() <= 8 &&
                 name.find_first_not_of("0123456789", 5) == std::string::npos;
    if (!valid) {
      throw bad_value(where, "\"cpu\", \"cuda\" or \"cuda:N\"", in_quotes(name));
    }
    index = std::stoi(name.substr(5));
  }
#ifndef EAM_WITH_CUDA
  throw bad_value(where,
                  "\"cpu\", since the native addon that is loaded is the cpu build (for others, run `npx eam build "
                  "--variant cuda` on a machine with CUDA)",
                  in_quotes(name));
#endif
  int count = cuda_device_count();
  if (index >= count) {
    throw bad_value(where,
                    count == 0
                        ? "\"cpu\", since no CUDA device is usable (is there a GPU and a driver? `nvidia-smi` tells)"
                        : words("one of the machine's ", count, " CUDA device(s), cuda:0 to cuda:", count - 1),
                    in_quotes(name));
  }
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
}

size_t to_choice(const Choices& choices, Napi::Value value, const std::string& where) {
  const std::string name = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  const auto found = std::find(choices.names.begin(), choices.names.end(), name);
  if (found == choices.names.end()) refuse(where, one_of(choices.names), value);
  return static_cast<size_t>(found - choices.names.begin());
}

double to_number(Napi::Value value, const std::string& where) {
  if (!value.IsNumber()) refuse(where, "a number", value);
  double number = value.As<Napi::Number>().DoubleValue();
  if (!std::isfinite(number)) refuse(where, "a finite number", value);
  return number;
}

int64_t to_integer(Napi::Value value, const std::string& where) {
  double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(std::abs(number) <= 9007199254740991.0) || number != std::trunc(number)) refuse(where, "an integer", value);
  return static_cast<int64_t>(number);
}

bool to_boolean(Napi::Value value, const std::string& where) {
  if (!value.IsBoolean()) refuse(where, "true or false", value);
  return value.As<Napi::Boolean>().Value();
}

std::string to_string(Napi::Value value, const std::string& where) {
  if (!value.IsString()) refuse(where, "a string", value);
  return value.As<Napi::String>().Utf8Value();
}

uint64_t to_uint64(Napi::Value value, const std::string& where) {
  if (!value.IsBigInt()) refuse(where, "a bigint, such as 42n", value);
  bool lossless = false;
  uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) refuse(where, "a bigint from 0n to 2n ** 64n - 1n", value);
  return number;
}

std::vector<double> to_numbers(Napi::Value value, const std::string& where) {
  if (value.IsTypedArray()) {
    switch (value.As<Napi::TypedArray>().TypedArrayType()) {
      case napi_float32_array:
        return doubles_of<Napi::Float32Array>(value);
      case napi_float64_array:
        return doubles_of<Napi::Float64Array>(value);
      case napi_int32_array:
        return doubles_of<Napi::Int32Array>(value);
      default:
        break;
    }
  }
  if (!value.IsArray()) refuse(where, "a Float32Array, Float64Array or number[]", value);
  Napi::Array array = value.As<Napi::Array>();
  std::vector<double> numbers(array.Length());
  for (uint32_t i = 0; i < numbers.size(); ++i) {
    Napi::HandleScope scope(value.Env());
    Napi::Value entry = array[i];
    if (!entry.IsNumber()) refuse(words(where, "[", i, "]"), "a number", entry);
    numbers[i] = entry.As<Napi::Number>().DoubleValue();
  }
  return numbers;
}

std::vector<double> to_per_sample(Napi::Value value, int64_t batch, const std::string& where) {
  const std::string expected = words("a Float32Array or number[] with one entry a sample (", batch, ")");
  if (!value.IsArray() && !value.IsTypedArray()) refuse(where, expected, value);
  std::vector<double> numbers = to_numbers(value, where);
  if (static_cast<int64_t>(numbers.size()) != batch) {
    throw bad_shape(where, expected, words("length ", numbers.size()));
  }
  return numbers;
}

std::vector<int64_t> to_integers(Napi::Value value, const std::string& where) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array) {
    Napi::Int32Array array = value.As<Napi::Int32Array>();
    return {array.Data(), array.Data() + array.ElementLength()};
  }
  if (!value.IsArray()) refuse(where, "an array of integers", value);
  Napi::Array array = value.As<Napi::Array>();
  std::vector<int64_t> integers(array.Length());
  for (uint32_t i = 0; i < integers.size(); ++i) {
    Napi::HandleScope scope(value.Env());
    integers[i] = to_integer(array[i], where + "[" + std::to_string(i) + "]");
  }
  return integers;
}

std::vector<int64_t> to_shape(Napi::Value value, const std::string& where) {
  std::vector<int64_t> shape = to_integers(value, where);
  // An element has at most 8 bytes, and LibTorch counts bytes in int64.
  int64_t left = std::numeric_limits<int64_t>::max() / 8;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 0) {
      throw bad_shape(words(where, "[", i, "]"), "a size of at least 0", shape[i]);
    }
    if (shape[i] > left) throw bad_shape(where, "fewer elements", at::IntArrayRef(shape));
    if (shape[i] > 0) left /= shape[i];
  }
  return shape;
}

std::vector<std::string> to_strings(Napi::Value value, const std::string& where) {
  if (!value.IsArray()) refuse(where, "an array of strings", value);
  Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    strings.push_back(to_string(array[i], where + "[" + std::to_string(i) + "]"));
  }
  return strings;
}

std::vector<at::Tensor> to_tensors(Napi::Value value, const std::string& where) {
  if (!value.IsArray()) refuse(where, "an array of Tensors", value);
  Napi::Array array = value.As<Napi::Array>();
  std::vector<at::Tensor> tensors;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    tensors.push_back(to_tensor(array[i], where + "[" + std::to_string(i) + "]"));
  }
  return tensors;
}

namespace {

template <class ToTensor>
std::vector<std::pair<std::string, at::Tensor>> named_tensors(Napi::Value value, const std::string& where,
                                                              const ToTensor& to) {
  if (!is_options(value)) refuse(where, "an object of Tensors", value);
  Napi::Object object = value.As<Napi::Object>();
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const std::string& name : to_strings(object.GetPropertyNames(), where)) {
    tensors.emplace_back(name, to(object.Get(name), words(where, "['", name, "']")));
  }
  return tensors;
}

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> to_named_tensors(Napi::Value value, const std::string& where) {
  return named_tensors(value, where, to_tensor);
}

std::vector<std::pair<std::string, at::Tensor>> to_lasting_tensors(Napi::Value value, const std::string& where) {
  return named_tensors(value, where, [](Napi::Value entry, const std::string& name) {
    return to_tensor_object(entry, name).lasting(name);
  });
}

std::vector<uint64_t> to_streams(Napi::Value value, const std::string& where) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_biguint64_array) {
    auto array = value.As<Napi::BigUint64Array>();
    return {array.Data(), array.Data() + array.ElementLength()};
  }
  if (!value.IsArray()) return {to_uint64(value, where)};
  Napi::Array array = value.As<Napi::Array>();
  std::vector<uint64_t> streams;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    streams.push_back(to_uint64(array[i], where + "[" + std::to_string(i) + "]"));
  }
  return streams;
}

ops::PhiloxNoise to_philox(Napi::Value value, const std::string& where) {
  if (!is_options(value)) refuse(where, "{ seed, stream }", value);
  Options options(value, where, {"seed", "stream"});
  return {options.uint64("seed"), to_streams(options.get("stream"), options.where("stream"))};
}

ops::Noise to_noise(Napi::Value value, const std::string& where) {
  ops::Noise noise;
  if (is_tensor(value)) {
    noise.tensor = to_tensor(value, where);
  } else if (is_options(value)) {
    noise.philox = to_philox(value, where);
  } else {
    refuse(where, "a Tensor or { seed, stream }", value);
  }
  return noise;
}

Cancellation to_cancellation(Napi::Value value, const std::string& where) {
  if (value.IsUndefined()) return {};
  if (!CancellationObject::is(value)) refuse(where, "a Cancellation", value);
  return CancellationObject::Unwrap(value.As<Napi::Object>())->get();
}

Napi::Float32Array from_floats(Napi::Env env, const std::vector<float>& values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(float));
  return array;
}

Napi::Array from_shape(Napi::Env env, at::IntArrayRef shape) {
  Napi::Array array = Napi::Array::New(env, shape.size());
  for (uint32_t i = 0; i < shape.size(); ++i) array.Set(i, static_cast<double>(shape[i]));
  return array;
}

Napi::Array from_strings(Napi::Env env, const std::vector<std::string>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) array.Set(i, values[i]);
  return array;
}

Napi::Object from_named_tensors(Napi::Env env, const std::vector<std::pair<std::string, at::Tensor>>& tensors) {
  Napi::Object object = Napi::Object::New(env);
  for (const auto& [name, tensor] : tensors) object.Set(name, wrap_tensor(env, tensor));
  return object;
}

Options::Options(Napi::Value value, std::string function, std::initializer_list<std::string_view> known)
    : function_(std::move(function)) {
  check_keys(value, known);
}

Options::Options(Napi::Value value, std::string function, const OptionTable& table,
                 std::initializer_list<std::string_view> more)
    : function_(std::move(function)) {
  std::vector<std::string_view> known;
  known.reserve(table.options.size() + more.size());
  for (const Option& option : table.options) known.push_back(option.name);
  known.insert(known.end(), more);
  check_keys(value, known);
}

void Options::check_keys(Napi::Value value, const std::vector<std::string_view>& known) {
  if (!is_options(value)) refuse(function_, "an object", value);
  object_ = value.As<Napi::Object>();
  Napi::Array keys = object_.GetPropertyNames();
  for (uint32_t i = 0; i < keys.Length(); ++i) {
    Napi::HandleScope scope(value.Env());
    // On the stack: this runs for every option of every call. A longer key is no known one.
    char text[32];
    size_t length = 0;
    Napi::Value name = keys.Get(i);
    napi_get_value_string_utf8(value.Env(), name, text, sizeof(text), &length);
    if (std::find(known.begin(), known.end(), std::string_view(text, length)) != known.end()) continue;
    throw unknown_key(function_, name.ToString(), known);
  }
}

}  // namespace eam::addon
