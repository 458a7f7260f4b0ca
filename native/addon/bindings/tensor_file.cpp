#include "addon/bindings/tensor_file.h"

#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "io/torch_file.h"
#include "ops/float8.h"

namespace eam::addon {
namespace {

// Types that are stored, and that no tensor of JavaScript's has.
at::ScalarType float8_of(const std::string& name, const std::string& where) {
  if (name == "float8_e4m3fn") return at::kFloat8_e4m3fn;
  if (name == "float8_e5m2") return at::kFloat8_e5m2;
  throw bad_value(where, one_of({"float8_e4m3fn", "float8_e5m2"}), in_quotes(name));
}

using Load = NamedTensors (*)(const std::string& path, const std::vector<io::TensorEntry>& entries);

Napi::Value load(const Napi::CallbackInfo& info, const std::string& function, Load load_tensors) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [path = to_string(info[0], function + ": path"), entries = to_entries(info[1], function + ": entries"),
             load_tensors] {
              NamedTensors tensors = load_tensors(path, entries);
              for (auto& [name, tensor] : tensors) tensor = tensor.to(widened(tensor.scalar_type()));
              return tensors;
            },
            [](Napi::Env env, const NamedTensors& tensors) { return from_named_tensors(env, tensors); });
  });
}

// mapTensors(path, entries)
Napi::Value map_tensors(const Napi::CallbackInfo& info) {
  return load(info, "mapTensors", io::map_tensors);
}

// readTensors(path, entries)
Napi::Value read_tensors(const Napi::CallbackInfo& info) {
  return load(info, "readTensors", io::read_tensors);
}

// writeTensors(path, header, tensors)
Napi::Value write_tensors(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
      refuse("writeTensors: header", "a Uint8Array", info[1]);
    }
    const auto header = info[1].As<Napi::Uint8Array>();
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [path = to_string(info[0], "writeTensors: path"),
             header = std::vector<uint8_t>(header.Data(), header.Data() + header.ElementLength()),
             tensors = to_tensors(info[2], "writeTensors: tensors")] { io::write_tensors(path, header, tensors); },
            [](Napi::Env env) { return env.Undefined(); });
  });
}

// readTorchFile(path)
Napi::Value read_torch_file(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(), [path = to_string(info[0], "readTorchFile: path")] { return io::read_torch_file(path); },
            [](Napi::Env env, const NamedTensors& tensors) { return from_named_tensors(env, tensors); });
  });
}

}  // namespace

std::vector<io::TensorEntry> to_entries(Napi::Value value, const std::string& where) {
  if (!value.IsArray()) refuse(where, "an array", value);
  const auto array = value.As<Napi::Array>();
  std::vector<io::TensorEntry> entries;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    Napi::HandleScope scope(value.Env());
    const Options entry(array.Get(i), where + "[" + std::to_string(i) + "]",
                        {"name", "dtype", "stored", "shape", "begin", "end"});
    const at::ScalarType dtype = entry.has("stored") ? float8_of(entry.string("stored"), entry.where("stored"))
                                                     : dtype_of(entry.string("dtype"), entry.where("dtype"));
    entries.push_back(
        {entry.string("name"), dtype, entry.shape("shape"), entry.integer("begin"), entry.integer("end")});
  }
  return entries;
}

void define_tensor_file(Napi::Env env, Napi::Object exports) {
  exports.Set("mapTensors", Napi::Function::New<map_tensors>(env, "mapTensors"));
  exports.Set("readTensors", Napi::Function::New<read_tensors>(env, "readTensors"));
  exports.Set("readTorchFile", Napi::Function::New<read_torch_file>(env, "readTorchFile"));
  exports.Set("writeTensors", Napi::Function::New<write_tensors>(env, "writeTensors"));
}

}  // namespace eam::addon
