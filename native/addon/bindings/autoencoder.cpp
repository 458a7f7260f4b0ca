#include "addon/bindings/autoencoder.h"

#include <ATen/core/grad_mode.h>

#include "addon/bindings/network_object.h"
#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "nn/layers/autoencoder.h"

namespace eam::addon {
namespace {

constexpr napi_type_tag autoencoder_tag = {0x4b82f6d10c973e5a, 0x9de3475c61fa08b2};

// A NativeAutoencoder.
class AutoencoderObject : public Napi::ObjectWrap<AutoencoderObject> {
 public:
  explicit AutoencoderObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<AutoencoderObject>(info),
        autoencoder_(constructed<nn::Autoencoder>(info, "Autoencoder", "loadNetwork")) {
    info.This().As<Napi::Object>().TypeTag(&autoencoder_tag);
  }

  static void define(Napi::Env env) {
    instance(env).constructor<AutoencoderObject>() =
        Napi::Persistent(DefineClass(env, "Autoencoder",
                                     {InstanceMethod<&AutoencoderObject::decode>("decode"),
                                      InstanceMethod<&AutoencoderObject::decode_gradient>("decodeGradient"),
                                      InstanceMethod<&AutoencoderObject::encode>("encode"),
                                      InstanceMethod<&AutoencoderObject::dispose>("dispose")}));
  }

  const std::shared_ptr<nn::Autoencoder>& get(const std::string& what) const { return alive(autoencoder_, what); }

 private:
  // decode(latents)
  Napi::Value decode(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [autoencoder = get("decode: the autoencoder"), latents = to_tensor(info[0], "decode: latents")] {
                at::NoGradGuard no_grad;
                return named("decode", [&] { return autoencoder->decode(latents); });
              },
              [](Napi::Env env, at::Tensor images) { return wrap_tensor(env, std::move(images)); });
    });
  }

  // decodeGradient(latents, upstream)
  Napi::Value decode_gradient(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [autoencoder = get("decodeGradient: the autoencoder"),
               latents = to_tensor(info[0], "decodeGradient: latents"),
               upstream = to_tensor(info[1], "decodeGradient: upstream")] {
                return named("decodeGradient", [&] { return autoencoder->decode_gradient(latents, upstream); });
              },
              [](Napi::Env env, nn::Autoencoder::Decoded decoded) {
                Napi::Object result = Napi::Object::New(env);
                result.Set("images", wrap_tensor(env, std::move(decoded.images)));
                result.Set("grad", wrap_tensor(env, std::move(decoded.grad)));
                return result;
              });
    });
  }

  // encode(images)
  Napi::Value encode(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [autoencoder = get("encode: the autoencoder"), images = to_tensor(info[0], "encode: images")] {
                at::NoGradGuard no_grad;
                return named("encode", [&] { return autoencoder->encode(images); });
              },
              [](Napi::Env env, at::Tensor latents) { return wrap_tensor(env, std::move(latents)); });
    });
  }

  void dispose(const Napi::CallbackInfo&) { autoencoder_.reset(); }

  std::shared_ptr<nn::Autoencoder> autoencoder_;
};

}  // namespace

std::shared_ptr<nn::Autoencoder> to_autoencoder(Napi::Value value, const std::string& where) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&autoencoder_tag)) {
    refuse(where, "an autoencoder", value);
  }
  return AutoencoderObject::Unwrap(value.As<Napi::Object>())->get(where);
}

Napi::Object wrap_network(Napi::Env env, std::shared_ptr<nn::Autoencoder> autoencoder) {
  return wrap<AutoencoderObject>(env, std::move(autoencoder));
}

void define_autoencoder(Napi::Env env, Napi::Object) {
  AutoencoderObject::define(env);
}

}  // namespace eam::addon
