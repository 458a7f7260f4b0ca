#include "ops/images.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"

namespace eam::addon {
namespace {

// weightedSum(tensors, weights)
Napi::Value weighted_sum(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [tensors = to_tensors(info[0], "weightedSum: tensors"),
             weights = to_numbers(info[1], "weightedSum: weights")] { return ops::weighted_sum(tensors, weights); },
            [](Napi::Env env, at::Tensor sum) { return wrap_tensor(env, std::move(sum)); });
  });
}

// joinImages(parts)
Napi::Value join_images(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(), [parts = to_tensors(info[0], "joinImages: parts")] { return ops::join_images(parts); },
            [](Napi::Env env, at::Tensor images) { return wrap_tensor(env, std::move(images)); });
  });
}

// gatherImages(images, indices, shifts, scale, offset)
Napi::Value gather_images(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    std::vector<int64_t> shifts;
    if (!info[2].IsUndefined()) shifts = to_integers(info[2], "gatherImages: shifts");
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [images = to_tensor(info[0], "gatherImages: images"),
             indices = to_integers(info[1], "gatherImages: indices"), shifts,
             scale = to_number(info[3], "gatherImages: scale"), offset = to_number(info[4], "gatherImages: offset")] {
              return ops::gather_images(images, indices, shifts, scale, offset);
            },
            [](Napi::Env env, at::Tensor images) { return wrap_tensor(env, std::move(images)); });
  });
}

// meanIntensity(images, wantGrad)
Napi::Value mean_intensity(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [images = to_tensor(info[0], "meanIntensity: images"),
             want_grad = to_boolean(info[1], "meanIntensity: wantGrad")] {
              return ops::mean_intensity(images, want_grad);
            },
            [](Napi::Env env, ops::MeanIntensity result) {
              Napi::Object object = Napi::Object::New(env);
              object.Set("values", from_floats(env, result.values));
              if (result.grad.defined()) object.Set("grad", wrap_tensor(env, std::move(result.grad)));
              return object;
            });
  });
}

// meanPairwiseDistance(features)
Napi::Value mean_pairwise_distance(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [features = to_tensor(info[0], "meanPairwiseDistance: features")] {
              return ops::mean_pairwise_distance(features);
            },
            [](Napi::Env env, double distance) { return Napi::Number::New(env, distance); });
  });
}

// meanPairwiseCosineDistance(features)
Napi::Value mean_pairwise_cosine_distance(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [features = to_tensor(info[0], "meanPairwiseCosineDistance: features")] {
              return ops::mean_pairwise_cosine_distance(features);
            },
            [](Napi::Env env, double distance) { return Napi::Number::New(env, distance); });
  });
}

// imageGrid(images, columns, padding)
Napi::Value image_grid(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [images = to_tensor(info[0], "imageGrid: images"), columns = to_integer(info[1], "imageGrid: columns"),
             padding = to_integer(info[2], "imageGrid: padding")] { return ops::image_grid(images, columns, padding); },
            [](Napi::Env env, ops::ImageGrid grid) {
              Napi::Object object = Napi::Object::New(env);
              object.Set("width", static_cast<double>(grid.width));
              object.Set("height", static_cast<double>(grid.height));
              object.Set("channels", static_cast<double>(grid.channels));
              Napi::Uint8Array data = Napi::Uint8Array::New(env, grid.data.size());
              std::copy(grid.data.begin(), grid.data.end(), data.Data());
              object.Set("data", data);
              return object;
            });
  });
}

}  // namespace

void define_images(Napi::Env env, Napi::Object exports) {
  exports.Set("weightedSum", Napi::Function::New<weighted_sum>(env, "weightedSum"));
  exports.Set("joinImages", Napi::Function::New<join_images>(env, "joinImages"));
  exports.Set("gatherImages", Napi::Function::New<gather_images>(env, "gatherImages"));
  exports.Set("meanIntensity", Napi::Function::New<mean_intensity>(env, "meanIntensity"));
  exports.Set("meanPairwiseDistance", Napi::Function::New<mean_pairwise_distance>(env, "meanPairwiseDistance"));
  exports.Set("meanPairwiseCosineDistance",
              Napi::Function::New<mean_pairwise_cosine_distance>(env, "meanPairwiseCosineDistance"));
  exports.Set("imageGrid", Napi::Function::New<image_grid>(env, "imageGrid"));
}

}  // namespace eam::addon
