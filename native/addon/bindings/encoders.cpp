#include "addon/bindings/encoders.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "addon/bindings/network_object.h"
#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "nn/t5/t5_encoder.h"

namespace eam::addon {
namespace {

constexpr napi_type_tag autoencoder_tag = {0x4b82f6d10c973e5a, 0x9de3475c61fa08b2};

// A NativeTextEncoder.
class TextEncoderObject : public Napi::ObjectWrap<TextEncoderObject> {
 public:
  explicit TextEncoderObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<TextEncoderObject>(info),
        encoder_(constructed<nn::TextEncoder>(info, "TextEncoder", "loadClipText or loadT5Encoder")) {}

  static void define(Napi::Env env) {
    instance(env).constructor<TextEncoderObject>() =
        Napi::Persistent(DefineClass(env, "TextEncoder",
                                     {InstanceMethod<&TextEncoderObject::encode>("encode"),
                                      InstanceMethod<&TextEncoderObject::dispose>("dispose")}));
  }

 private:
  // encode(ids)
  Napi::Value encode(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [encoder = alive(encoder_, "encode: the text encoder"), ids = to_tensor(info[0], "encode: `ids`")] {
                at::NoGradGuard no_grad;
                return named("encode", [&] { return encoder->forward(ids); });
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

// A NativeAutoencoder.
class AutoencoderObject : public Napi::ObjectWrap<AutoencoderObject> {
 public:
  explicit AutoencoderObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<AutoencoderObject>(info),
        autoencoder_(constructed<nn::Autoencoder>(info, "Autoencoder", "loadAutoencoder")) {
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
              [autoencoder = get("decode: the autoencoder"), latents = to_tensor(info[0], "decode: `latents`")] {
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
               latents = to_tensor(info[0], "decodeGradient: `latents`"),
               upstream = to_tensor(info[1], "decodeGradient: `upstream`")] {
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
              [autoencoder = get("encode: the autoencoder"), images = to_tensor(info[0], "encode: `images`")] {
                at::NoGradGuard no_grad;
                return named("encode", [&] { return autoencoder->encode(images); });
              },
              [](Napi::Env env, at::Tensor latents) { return wrap_tensor(env, std::move(latents)); });
    });
  }

  void dispose(const Napi::CallbackInfo&) { autoencoder_.reset(); }

  std::shared_ptr<nn::Autoencoder> autoencoder_;
};

nn::ClipActivation to_activation(const Options& options) {
  return options.choice<nn::ClipActivation>(
      "activation", {{"gelu", nn::ClipActivation::gelu}, {"quick_gelu", nn::ClipActivation::quick_gelu}});
}

// What both towers' configurations say.
void read_tower(const Options& options, nn::ClipTowerConfig& config) {
  config.width = options.integer("width");
  config.intermediate = options.integer("intermediate");
  config.layers = options.integer("layers");
  config.heads = options.integer("heads");
  config.activation = to_activation(options);
  config.layer_norm_epsilon = options.number("layerNormEpsilon");
  config.projection = options.integer("projection");
}

nn::AutoencoderConfig to_autoencoder_config(Napi::Value value, const std::string& where) {
  const Options options(
      value, where,
      {"inChannels", "outChannels", "latentChannels", "blockOutChannels", "layersPerBlock", "normGroups",
       "midBlockAttention", "useQuantConv", "usePostQuantConv", "scalingFactor", "shiftFactor"});
  return {.in_channels = options.integer("inChannels"),
          .out_channels = options.integer("outChannels"),
          .latent_channels = options.integer("latentChannels"),
          .block_out_channels = to_integers(options.get("blockOutChannels"), options.where("blockOutChannels")),
          .layers_per_block = options.integer("layersPerBlock"),
          .norm_groups = options.integer("normGroups"),
          .mid_block_attention = options.boolean("midBlockAttention"),
          .use_quant_conv = options.boolean("useQuantConv"),
          .use_post_quant_conv = options.boolean("usePostQuantConv"),
          .scaling_factor = options.number("scalingFactor"),
          .shift_factor = options.number("shiftFactor")};
}

nn::T5EncoderConfig to_t5_config(Napi::Value value, const std::string& where) {
  const Options options(value, where,
                        {"vocabulary", "width", "keyWidth", "intermediate", "layers", "heads", "relativeBuckets",
                         "relativeMaxDistance", "layerNormEpsilon", "feedForward"});
  return {.vocabulary = options.integer("vocabulary"),
          .width = options.integer("width"),
          .key_width = options.integer("keyWidth"),
          .intermediate = options.integer("intermediate"),
          .layers = options.integer("layers"),
          .heads = options.integer("heads"),
          .relative_buckets = options.integer("relativeBuckets"),
          .relative_max_distance = options.integer("relativeMaxDistance"),
          .layer_norm_epsilon = options.number("layerNormEpsilon"),
          .feed_forward = options.choice<nn::T5FeedForward>(
              "feedForward", {{"gated-gelu", nn::T5FeedForward::gated_gelu}, {"relu", nn::T5FeedForward::relu}})};
}

// FUNCTION(config, tensors, dtype, device): a promise of an Object around a Network, as its Interface.
template <class Object, class Network, class Interface, class Config>
Napi::Value load(const Napi::CallbackInfo& info, const char* function, const char* what,
                 Config (*to_config)(Napi::Value, const std::string&)) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const std::string name = function;
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [function, what, config = to_config(info[0], name),
             tensors = to_lasting_tensors(info[1], name + ": `tensors`"),
             dtype = to_stored_dtype(info[2], name + ": `dtype`"),
             device = device_of(to_string(info[3], name + ": `device`"), name + ": `device`")]() mutable {
              return std::shared_ptr<Interface>(named(
                  function, [&] { return load_network<Network>(what, std::move(tensors), dtype, device, config); }));
            },
            [](Napi::Env env, std::shared_ptr<Interface> network) { return wrap<Object>(env, std::move(network)); });
  });
}

Napi::Value load_autoencoder(const Napi::CallbackInfo& info) {
  return load<AutoencoderObject, nn::Autoencoder, nn::Autoencoder>(info, "loadAutoencoder", "autoencoder",
                                                                   to_autoencoder_config);
}

Napi::Value load_clip_text(const Napi::CallbackInfo& info) {
  return load<TextEncoderObject, nn::ClipText, nn::TextEncoder>(info, "loadClipText", "CLIP text encoder",
                                                                to_clip_text_config);
}

Napi::Value load_t5_encoder(const Napi::CallbackInfo& info) {
  return load<TextEncoderObject, nn::T5Encoder, nn::TextEncoder>(info, "loadT5Encoder", "T5 encoder", to_t5_config);
}

}  // namespace

std::shared_ptr<nn::Autoencoder> to_autoencoder(Napi::Value value, const std::string& where) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&autoencoder_tag)) {
    throw Error(ErrorKind::config, where + " must be an autoencoder, got " + describe(value));
  }
  return AutoencoderObject::Unwrap(value.As<Napi::Object>())->get(where);
}

nn::ClipTextConfig to_clip_text_config(Napi::Value value, const std::string& where) {
  const Options options(value, where,
                        {"width", "intermediate", "layers", "heads", "activation", "layerNormEpsilon", "projection",
                         "vocabulary", "positions", "eosToken"});
  nn::ClipTextConfig config;
  read_tower(options, config);
  config.vocabulary = options.integer("vocabulary");
  config.positions = options.integer("positions");
  if (options.has("eosToken")) config.eos_token = options.integer("eosToken");
  return config;
}

nn::ClipVisionConfig to_clip_vision_config(Napi::Value value, const std::string& where) {
  const Options options(value, where,
                        {"width", "intermediate", "layers", "heads", "activation", "layerNormEpsilon", "projection",
                         "imageSize", "patchSize"});
  nn::ClipVisionConfig config;
  read_tower(options, config);
  config.image_size = options.integer("imageSize");
  config.patch_size = options.integer("patchSize");
  return config;
}

std::optional<at::ScalarType> to_stored_dtype(Napi::Value value, const std::string& where) {
  if (value.IsUndefined()) return std::nullopt;
  return floating_dtype_of(to_string(value, where), where);
}

void define_encoders(Napi::Env env, Napi::Object exports) {
  TextEncoderObject::define(env);
  AutoencoderObject::define(env);
  exports.Set("loadAutoencoder", Napi::Function::New<load_autoencoder>(env, "loadAutoencoder"));
  exports.Set("loadClipText", Napi::Function::New<load_clip_text>(env, "loadClipText"));
  exports.Set("loadT5Encoder", Napi::Function::New<load_t5_encoder>(env, "loadT5Encoder"));
}

}  // namespace eam::addon
