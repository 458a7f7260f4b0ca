#include "nn/rewards/image_reward.h"

#include <memory>

#include "addon/bindings/network_object.h"
#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"

namespace eam::addon {
namespace {

nn::ImageReward::Wanted to_wanted(Napi::Value value) {
  const Options options(value, "score: wanted", {"grad", "features"});
  return {.grad = options.boolean("grad"), .features = options.boolean("features")};
}

// A NativeImageReward: any ImageReward.
class ImageRewardObject : public Napi::ObjectWrap<ImageRewardObject> {
 public:
  explicit ImageRewardObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<ImageRewardObject>(info),
        reward_(constructed<nn::ImageReward>(info, "ImageReward", "loadNetwork")) {}

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
              [reward = alive(reward_, "score: the reward"), images = to_tensor(info[0], "score: images"),
               ids = tensor_or_none(1, "score: ids"), mask = tensor_or_none(2, "score: mask"),
               wanted = to_wanted(info[3]), slice = to_integer(info[4], "score: slice")] {
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
          [slice = to_integer(info[1], "features: slice")](const nn::ImageReward& reward, const at::Tensor& images) {
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
               images = to_tensor(info[0], std::string(function) + ": images"), function,
               map] { return named(function, [&] { return map(*reward, images); }); },
              [](Napi::Env env, at::Tensor result) { return wrap_tensor(env, std::move(result)); });
    });
  }

  void dispose(const Napi::CallbackInfo&) { reward_.reset(); }

  std::shared_ptr<nn::ImageReward> reward_;
};

}  // namespace

Napi::Object wrap_network(Napi::Env env, std::shared_ptr<nn::ImageReward> reward) {
  return wrap<ImageRewardObject>(env, std::move(reward));
}

void define_image_reward(Napi::Env env, Napi::Object) {
  ImageRewardObject::define(env);
}

}  // namespace eam::addon
