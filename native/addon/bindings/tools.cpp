#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>

#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "ops/comparison.h"

// What `eam verify` and `eam plan` need beyond a model.
namespace eam::addon {
namespace {

// largestDifference(value, reference)
Napi::Value largest_difference(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [value = to_tensor(info[0], "largestDifference: value"),
             reference = to_tensor(info[1], "largestDifference: reference")] {
              return named("largestDifference", [&] { return ops::largest_difference(value, reference); });
            },
            [](Napi::Env env, const ops::Difference& difference) {
              Napi::Object object = Napi::Object::New(env);
              object.Set("largest", difference.largest);
              object.Set("scale", difference.scale);
              return object;
            });
  });
}

// cudaMemory(device): on the executor, because the first question to a device starts CUDA. Jobs ask it of the device of
// their configuration, by whose key it is called in messages.
Napi::Value cuda_memory(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const std::string where = "device";
    const at::Device device = device_of(to_string(info[0], where), where);
    if (!device.is_cuda()) throw bad_value(where, "\"cuda\" or \"cuda:N\"", in_quotes("cpu"));
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [device] {
              at::globalContext().lazyInitDevice(at::kCUDA);
              return at::getDeviceAllocator(at::kCUDA)->getMemoryInfo(device.index());
            },
            [](Napi::Env env, const std::pair<size_t, size_t>& bytes) {
              Napi::Object object = Napi::Object::New(env);
              object.Set("free", static_cast<double>(bytes.first));
              object.Set("total", static_cast<double>(bytes.second));
              return object;
            });
  });
}

}  // namespace

void define_tools(Napi::Env env, Napi::Object exports) {
  exports.Set("largestDifference", Napi::Function::New<largest_difference>(env, "largestDifference"));
  exports.Set("cudaMemory", Napi::Function::New<cuda_memory>(env, "cudaMemory"));
}

}  // namespace eam::addon
