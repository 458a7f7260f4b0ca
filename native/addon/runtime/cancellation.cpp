#include "addon/runtime/cancellation.h"

#include "addon/runtime/addon.h"

namespace eam::addon {
namespace {

constexpr napi_type_tag cancellation_tag = {0x8a51e1a2c7f04d11, 0x9d3b6f0e52c84a77};

}  // namespace

CancellationObject::CancellationObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CancellationObject>(info) {
  info.This().As<Napi::Object>().TypeTag(&cancellation_tag);
}

bool CancellationObject::is(Napi::Value value) {
  return value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&cancellation_tag);
}

void CancellationObject::cancel(const Napi::CallbackInfo&) {
  cancellation_.cancel();
}

void define_cancellation(Napi::Env env, Napi::Object exports) {
  exports.Set("Cancellation",
              CancellationObject::DefineClass(
                  env, "Cancellation", {CancellationObject::InstanceMethod("cancel", &CancellationObject::cancel)}));
}

}  // namespace eam::addon
