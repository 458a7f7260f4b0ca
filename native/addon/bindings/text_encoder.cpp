#include "nn/layers/text_encoder.h"

#include <ATen/core/grad_mode.h>

#include "addon/bindings/network_object.h"
#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"

namespace eam::addon {
namespace {

// A NativeTextEncoder.
class TextEncoderObject : public Napi::ObjectWrap<TextEncoderObject> {
 public:
  explicit TextEncoderObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<TextEncoderObject>(info),
        encoder_(constructed<nn::TextEncoder>(info, "TextEncoder", "loadNetwork")) {}

  static void define(Napi::Env env) {
    instance(env).constructor<TextEncoderObject>() =
        Napi::Persistent(DefineClass(env, "TextEncoder",
                                     {InstanceMethod<&TextEncoderObject::encode>("encode"),
                                      InstanceMethod<&TextEncoderObject::dispose>("dispose")}));
  }

 private:
  // encode(ids, mask?)
  Napi::Value encode(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [encoder = alive(encoder_, "encode: the text encoder"), ids = to_tensor(info[0], "encode: ids"),
               mask = info[1].IsUndefined() ? at::Tensor() : to_tensor(info[1], "encode: mask")] {
                at::NoGradGuard no_grad;
                return named("encode", [&] { return encoder->forward(ids, mask); });
              },
              [](Napi::Env env, nn::TextEncoder::Encoded encoded) {
                Napi::Object result = Napi::Object::New(env);
                result.Set("hidden", wrap_tensor(env, std::move(encoded.hidden)));
                if (encoded.pooled.defined()) result.Set("pooled", wrap_tensor(env, std::move(encoded.pooled)));
                return result;
              });
    });
  }

  void dispose(const Napi::CallbackInfo&) { encoder_.reset(); }

  std::shared_ptr<nn::TextEncoder> encoder_;
};

}  // namespace

Napi::Object wrap_network(Napi::Env env, std::shared_ptr<nn::TextEncoder> encoder) {
  return wrap<TextEncoderObject>(env, std::move(encoder));
}

void define_text_encoder(Napi::Env env, Napi::Object) {
  TextEncoderObject::define(env);
}

}  // namespace eam::addon
