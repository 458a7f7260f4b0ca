#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "addon/convert/options.h"
#include "addon/convert/tensor.h"
#include "addon/runtime/errors.h"
#include "ops/cancellation.h"
#include "ops/ops.h"
#include "ops/options.h"

// JavaScript values to C++ ones and back. `where` names the function and the argument in errors: "renoise: t".
// Wrong lengths and shapes are Error(shape), every other wrong value Error(config); the message says what was found.
// JavaScript thread only.
namespace eam::addon {

// Errors of `work` begin with the function's name, as those of argument conversion do. Any thread.
template <class Work>
decltype(auto) named(const char* function, const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    throw Error(error.kind(), std::string(function) + ": " + error.what());
  } catch (const c10::Error& error) {
    if (auto shortage = host_shortage(error))
      throw Error(ErrorKind::out_of_memory, std::string(function) + ": " + *shortage);
    throw;
  }
}

// "undefined", "1.5", a string in quotes, "an array of length 3", "Float32Array of length 3", "Tensor float32 [2, 3]".
std::string describe(Napi::Value value);

// Throws the Error(config) of a bad value.
[[noreturn]] void refuse(const std::string& where, const std::string& expected, Napi::Value found);

// Whether the value is a plain object or an instance, but nothing that has a meaning of its own.
bool is_options(Napi::Value value);

at::ScalarType dtype_of(std::string_view name, const std::string& where);
at::ScalarType floating_dtype_of(std::string_view name, const std::string& where);  // of networks and of noise
std::string_view dtype_name(at::ScalarType dtype);
at::Device device_of(const std::string& name, const std::string& where);  // 'cpu', 'cuda', 'cuda:N'; must exist
int cuda_device_count();

// The number of a name among the choices.
size_t to_choice(const Choices& choices, Napi::Value value, const std::string& where);
template <class Enumeration>
Enumeration to_choice(Napi::Value value, const std::string& where) {
  return static_cast<Enumeration>(to_choice(choices_of(Enumeration{}), value, where));
}

double to_number(Napi::Value value, const std::string& where);  // finite
int64_t to_integer(Napi::Value value, const std::string& where);
bool to_boolean(Napi::Value value, const std::string& where);
std::string to_string(Napi::Value value, const std::string& where);
uint64_t to_uint64(Napi::Value value, const std::string& where);  // a bigint in [0, 2^64)
std::vector<double> to_numbers(Napi::Value value,
                               const std::string& where);  // number[], Float32Array, Float64Array, Int32Array
std::vector<double> to_per_sample(Napi::Value value, int64_t batch,
                                  const std::string& where);                    // the same, one entry a sample
std::vector<int64_t> to_integers(Napi::Value value, const std::string& where);  // number[] or Int32Array
std::vector<int64_t> to_shape(Napi::Value value, const std::string& where);     // no negative entry, the product fits
std::vector<std::string> to_strings(Napi::Value value, const std::string& where);
std::vector<uint64_t> to_streams(Napi::Value value, const std::string& where);  // bigint, bigint[] or BigUint64Array
std::vector<at::Tensor> to_tensors(Napi::Value value, const std::string& where);
std::vector<std::pair<std::string, at::Tensor>> to_named_tensors(Napi::Value value, const std::string& where);
std::vector<std::pair<std::string, at::Tensor>> to_lasting_tensors(Napi::Value value,
                                                                   const std::string& where);  // for a network to keep
ops::PhiloxNoise to_philox(Napi::Value value, const std::string& where);                       // { seed, stream }
ops::Noise to_noise(Napi::Value value, const std::string& where);           // a Tensor or { seed, stream }
Cancellation to_cancellation(Napi::Value value, const std::string& where);  // undefined: one that is never set

Napi::Float32Array from_floats(Napi::Env env, const std::vector<float>& values);  // copies
Napi::Array from_shape(Napi::Env env, at::IntArrayRef shape);
Napi::Array from_strings(Napi::Env env, const std::vector<std::string>& values);
Napi::Object from_named_tensors(Napi::Env env, const std::vector<std::pair<std::string, at::Tensor>>& tensors);

// An options object, read key by key. A key that is not known is an Error(config): misspelt options are never ignored.
// `key, fallback`: the fallback where the key is missing or undefined.
class Options {
 public:
  Options(Napi::Value value, std::string function, std::initializer_list<std::string_view> known);
  // Known are the described options, and `more`.
  Options(Napi::Value value, std::string function, const OptionTable& table,
          std::initializer_list<std::string_view> more = {});

  // The described struct.
  template <class Described>
  Described read() const {
    Described described;
    read_members(Described::table(), &described, object_, function_);
    return described;
  }

  Napi::Env env() const { return object_.Env(); }
  std::string where(const char* key) const { return option_path(function_, key); }
  Napi::Value get(const char* key) const { return object_.Get(key); }
  bool has(const char* key) const { return !get(key).IsUndefined(); }

  at::Tensor tensor(const char* key) const { return to_tensor(get(key), where(key)); }
  std::vector<at::Tensor> tensors(const char* key) const { return to_tensors(get(key), where(key)); }
  double number(const char* key) const { return to_number(get(key), where(key)); }
  double number(const char* key, double fallback) const { return has(key) ? number(key) : fallback; }
  int64_t integer(const char* key) const { return to_integer(get(key), where(key)); }
  int64_t integer(const char* key, int64_t fallback) const { return has(key) ? integer(key) : fallback; }
  bool boolean(const char* key) const { return to_boolean(get(key), where(key)); }
  bool boolean(const char* key, bool fallback) const { return has(key) ? boolean(key) : fallback; }
  std::string string(const char* key) const { return to_string(get(key), where(key)); }
  std::string string(const char* key, std::string fallback) const {
    return has(key) ? string(key) : std::move(fallback);
  }
  uint64_t uint64(const char* key) const { return to_uint64(get(key), where(key)); }
  std::vector<double> numbers(const char* key) const { return to_numbers(get(key), where(key)); }
  std::vector<double> per_sample(const char* key, int64_t batch) const {
    return to_per_sample(get(key), batch, where(key));
  }
  std::vector<int64_t> shape(const char* key) const { return to_shape(get(key), where(key)); }
  ops::Noise noise(const char* key) const { return to_noise(get(key), where(key)); }
  Cancellation cancellation(const char* key = "cancellation") const { return to_cancellation(get(key), where(key)); }

  // A described enumeration.
  template <class Enumeration>
  Enumeration choice(const char* key) const {
    return to_choice<Enumeration>(get(key), where(key));
  }

  // One of a few names, each standing for a value.
  template <class Value>
  Value choice(const char* key, Value fallback, std::initializer_list<std::pair<const char*, Value>> choices) const {
    return has(key) ? choice(key, choices) : fallback;
  }
  template <class Value>
  Value choice(const char* key, std::initializer_list<std::pair<const char*, Value>> choices) const {
    Choices names;
    for (const auto& [text, value] : choices) names.names.emplace_back(text);
    return std::data(choices)[to_choice(names, get(key), where(key))].second;
  }

 private:
  void check_keys(Napi::Value value, const std::vector<std::string_view>& known);

  Napi::Object object_;
  std::string function_;
};

}  // namespace eam::addon
