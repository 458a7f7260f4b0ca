#include "addon/bindings/weight_files.h"

#include <memory>

#include "addon/bindings/network_object.h"
#include "addon/bindings/tensor_file.h"
#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "io/weight_files.h"
#include "ops/float8.h"

namespace eam::addon {
namespace {

constexpr napi_type_tag weight_files_tag = {0x2ac96e01f7d8453b, 0xc1450b9de8a73f26};

// A NativeWeightFiles: tensors on their way from files to a network.
class WeightFilesObject : public Napi::ObjectWrap<WeightFilesObject> {
 public:
  explicit WeightFilesObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<WeightFilesObject>(info),
        tensors_(constructed<const NamedTensors>(info, "WeightFiles", "openWeights")) {
    info.This().As<Napi::Object>().TypeTag(&weight_files_tag);
  }

  static void define(Napi::Env env) {
    instance(env).constructor<WeightFilesObject>() =
        Napi::Persistent(DefineClass(env, "WeightFiles",
                                     {InstanceMethod<&WeightFilesObject::tensors>("tensors"),
                                      InstanceMethod<&WeightFilesObject::dispose>("dispose")}));
  }

  const NamedTensors& get(const std::string& where) const { return *alive(tensors_, where); }

 private:
  // tensors()
  Napi::Value tensors(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const NamedTensors& held = get("tensors: the weights");
      Napi::Array list = Napi::Array::New(info.Env(), held.size());
      for (uint32_t i = 0; i < held.size(); ++i) {
        Napi::HandleScope scope(info.Env());
        const auto& [name, tensor] = held[i];
        Napi::Object entry = Napi::Object::New(info.Env());
        entry.Set("name", name);
        entry.Set("dtype", std::string(dtype_name(widened(tensor.scalar_type()))));
        entry.Set("shape", from_shape(info.Env(), tensor.sizes()));
        list.Set(i, entry);
      }
      return list;
    });
  }

  void dispose(const Napi::CallbackInfo&) { tensors_.reset(); }

  std::shared_ptr<const NamedTensors> tensors_;
};

std::vector<io::WeightFile> to_files(Napi::Value value) {
  const std::string where = "openWeights: files";
  if (!value.IsArray()) refuse(where, "an array", value);
  const auto array = value.As<Napi::Array>();
  std::vector<io::WeightFile> files;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Options file(array.Get(i), where + "[" + std::to_string(i) + "]",
                       {"path", "entries", "within", "only", "under"});
    io::WeightFile& read = files.emplace_back();
    read.path = file.string("path");
    if (file.has("entries")) read.entries = to_entries(file.get("entries"), file.where("entries"));
    read.within = file.string("within", "");
    if (file.has("only")) read.only = to_strings(file.get("only"), file.where("only"));
    read.under = file.string("under", "");
  }
  return files;
}

// openWeights(files)
Napi::Value open_weights(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [files = to_files(info[0])] { return std::make_shared<const NamedTensors>(io::open_weights(files)); },
            [](Napi::Env env, std::shared_ptr<const NamedTensors> tensors) {
              return wrap<WeightFilesObject>(env, std::move(tensors));
            });
  });
}

}  // namespace

NamedTensors to_weights(Napi::Value value, const std::string& where) {
  if (value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&weight_files_tag)) {
    return WeightFilesObject::Unwrap(value.As<Napi::Object>())->get(where);
  }
  return to_lasting_tensors(value, where);
}

void define_weight_files(Napi::Env env, Napi::Object exports) {
  WeightFilesObject::define(env);
  exports.Set("openWeights", Napi::Function::New<open_weights>(env, "openWeights"));
}

}  // namespace eam::addon
