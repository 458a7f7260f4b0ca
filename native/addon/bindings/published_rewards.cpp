#include <napi.h>

#include <memory>

#include "addon/bindings/encoders.h"
#include "addon/bindings/network_object.h"
#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "io/torch_file.h"
#include "nn/rewards/blip_reward.h"
#include "nn/rewards/clip_reward.h"

namespace eam::addon {
namespace {

nn::ImageReward::Wanted to_wanted(Napi::Value value) {
  const Options options(value, "score: `wanted`", {"grad", "features"});
  return {.grad = options.boolean("grad"), .features = options.boolean("features")};
}

// A NativeImageReward, which loadClipReward and loadBlipReward make.
class ImageRewardObject : public Napi::ObjectWrap<ImageRewardObject> {
 public:
  explicit ImageRewardObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<ImageRewardObject>(info),
        reward_(constructed<nn::ImageReward>(info, "ImageReward", "loadClipReward or loadBlipReward")) {}

  static void define(Napi::Env env) {
    instance(env).constructor<ImageRewardObject>() =
        Napi::Persistent(DefineClass(env, "ImageReward",
                                     {InstanceMethod<&ImageRewardObject::score>("score"),
                                      InstanceMethod<&ImageRewardObject::preprocess>("preprocess"),
                                      InstanceMethod<&ImageRewardObject::features>("features"),
                                      InstanceMethod<&ImageRewardObject::dispose>("dispose")}));
  }

 private:
  // score(images, ids, mask, { grad, features }, slice)
  Napi::Value score(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      const auto tensor_or_none = [&](size_t index, const char* where) {
        return info[index].IsUndefined() ? at::Tensor() : to_tensor(info[index], where);
      };
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [reward = alive(reward_, "score: the reward"), images = to_tensor(info[0], "score: `images`"),
               ids = tensor_or_none(1, "score: `ids`"), mask = tensor_or_none(2, "score: `mask`"),
               wanted = to_wanted(info[3]), slice = to_integer(info[4], "score: `slice`")] {
                return named("score", [&] { return reward->score(images, ids, mask, wanted, slice); });
              },
              [](Napi::Env env, nn::ImageReward::Score score) {
                Napi::Object result = Napi::Object::New(env);
                result.Set("values", from_floats(env, score.values));
                if (score.grad.defined()) result.Set("grad", wrap_tensor(env, std::move(score.grad)));
                if (score.features.defined()) result.Set("features", wrap_tensor(env, std::move(score.features)));
                return result;
              });
    });
  }

  // preprocess(images)
  Napi::Value preprocess(const Napi::CallbackInfo& info) {
    return map_images(info, "preprocess", [](const nn::ImageReward& reward, const at::Tensor& images) {
      return reward.preprocess(images);
    });
  }

  // features(images, slice)
  Napi::Value features(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&] {
      return map_images(
          info, "features",
          [slice = to_integer(info[1], "features: `slice`")](const nn::ImageReward& reward, const at::Tensor& images) {
            return reward.features(images, slice);
          });
    });
  }

  // map(reward, images): a Tensor.
  template <class Map>
  Napi::Value map_images(const Napi::CallbackInfo& info, const char* function, Map map) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [reward = alive(reward_, std::string(function) + ": the reward"),
               images = to_tensor(info[0], std::string(function) + ": `images`"), function,
               map] { return named(function, [&] { return map(*reward, images); }); },
              [](Napi::Env env, at::Tensor result) { return wrap_tensor(env, std::move(result)); });
    });
  }

  void dispose(const Napi::CallbackInfo&) { reward_.reset(); }

  std::shared_ptr<nn::ImageReward> reward_;
};

nn::ImagePreprocessConfig to_preprocess_config(Napi::Value value, const std::string& where) {
  using Fit = nn::ImagePreprocessConfig::Fit;
  const Options options(value, where, {"fit", "size", "mean", "std", "bytes"});
  return {.fit = options.choice("fit", Fit::crop, {{"crop", Fit::crop}, {"pad", Fit::pad}}),
          .size = options.integer("size"),
          .mean = options.numbers("mean"),
          .std = options.numbers("std"),
          .bytes = options.boolean("bytes")};
}

nn::BlipVisionConfig to_blip_vision_config(Napi::Value value, const std::string& where) {
  const Options options(value, where,
                        {"imageSize", "patchSize", "width", "intermediate", "layers", "heads", "layerNormEpsilon"});
  return {.image_size = options.integer("imageSize"),
          .patch_size = options.integer("patchSize"),
          .width = options.integer("width"),
          .intermediate = options.integer("intermediate"),
          .layers = options.integer("layers"),
          .heads = options.integer("heads"),
          .layer_norm_epsilon = options.number("layerNormEpsilon")};
}

nn::BertConfig to_bert_config(Napi::Value value, const std::string& where) {
  const Options options(
      value, where,
      {"vocabulary", "width", "intermediate", "layers", "heads", "positions", "layerNormEpsilon", "encoderWidth"});
  return {.vocabulary = options.integer("vocabulary"),
          .width = options.integer("width"),
          .intermediate = options.integer("intermediate"),
          .layers = options.integer("layers"),
          .heads = options.integer("heads"),
          .positions = options.integer("positions"),
          .layer_norm_epsilon = options.number("layerNormEpsilon"),
          .encoder_width = options.integer("encoderWidth")};
}

// Where the tensors go, as every factory is told.
struct Placement {
  explicit Placement(const Options& options)
      : tensors(to_lasting_tensors(options.get("tensors"), options.where("tensors"))),
        dtype(to_stored_dtype(options.get("dtype"), options.where("dtype"))),
        device(device_of(options.string("device"), options.where("device"))) {}

  NamedTensors tensors;
  std::optional<at::ScalarType> dtype;
  at::Device device;
};

template <class Load>
Napi::Value submit(Napi::Env env, const char* function, Load load) {
  return instance(env).executor.submit(
      env, [function, load = std::move(load)] { return std::shared_ptr<nn::ImageReward>(named(function, load)); },
      [](Napi::Env env, std::shared_ptr<nn::ImageReward> reward) {
        return wrap<ImageRewardObject>(env, std::move(reward));
      });
}

// loadClipReward({ vision, text, preprocess, kind, layout, tensors, dtype, device })
Napi::Value load_clip_reward(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    using Kind = nn::ClipRewardConfig::Kind;
    using Layout = nn::ClipRewardConfig::Layout;
    const Options options(info[0], "loadClipReward",
                          {"vision", "text", "preprocess", "kind", "layout", "tensors", "dtype", "device"});
    const Options kind(options.get("kind"), options.where("kind"), {"name", "tensors"});
    nn::ClipRewardConfig config;
    config.vision = to_clip_vision_config(options.get("vision"), options.where("vision"));
    if (options.has("text")) config.text = to_clip_text_config(options.get("text"), options.where("text"));
    config.preprocess = to_preprocess_config(options.get("preprocess"), options.where("preprocess"));
    config.kind = kind.choice(
        "name", Kind::cosine,
        {{"scaled-cosine", Kind::scaled_cosine}, {"cosine", Kind::cosine}, {"linear-stack", Kind::linear_stack}});
    config.layout = options.choice("layout", Layout::transformers,
                                   {{"transformers", Layout::transformers}, {"open_clip", Layout::open_clip}});
    NamedTensors head;
    if (config.kind == Kind::linear_stack) head = to_lasting_tensors(kind.get("tensors"), kind.where("tensors"));
    return submit(info.Env(), "loadClipReward", [config, head, placement = Placement(options)] {
      return std::make_shared<nn::ClipReward>(config, placement.tensors, head, placement.dtype, placement.device);
    });
  });
}

// loadBlipReward({ vision, text, preprocess, mean, std, tensors, dtype, device })
Napi::Value load_blip_reward(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const Options options(info[0], "loadBlipReward",
                          {"vision", "text", "preprocess", "mean", "std", "tensors", "dtype", "device"});
    const nn::BlipRewardConfig config = {
        .vision = to_blip_vision_config(options.get("vision"), options.where("vision")),
        .text = to_bert_config(options.get("text"), options.where("text")),
        .preprocess = to_preprocess_config(options.get("preprocess"), options.where("preprocess")),
        .mean = options.number("mean"),
        .std = options.number("std")};
    return submit(info.Env(), "loadBlipReward", [config, placement = Placement(options)] {
      return std::make_shared<nn::BlipReward>(config, placement.tensors, placement.dtype, placement.device);
    });
  });
}

// readTorchFile(path)
Napi::Value read_torch_file(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(), [path = to_string(info[0], "readTorchFile: `path`")] { return io::read_torch_file(path); },
            [](Napi::Env env, NamedTensors tensors) { return from_named_tensors(env, tensors); });
  });
}

}  // namespace

void define_published_rewards(Napi::Env env, Napi::Object exports) {
  ImageRewardObject::define(env);
  exports.Set("loadClipReward", Napi::Function::New<load_clip_reward>(env, "loadClipReward"));
  exports.Set("loadBlipReward", Napi::Function::New<load_blip_reward>(env, "loadBlipReward"));
  exports.Set("readTorchFile", Napi::Function::New<read_torch_file>(env, "readTorchFile"));
}

}  // namespace eam::addon
