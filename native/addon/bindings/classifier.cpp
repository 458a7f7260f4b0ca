#include "addon/bindings/classifier.h"

#include <algorithm>

#include "addon/bindings/network_object.h"
#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "ops/named_tensors.h"

namespace eam::addon {
namespace {

constexpr napi_type_tag classifier_tag = {0x1d7e93c4ab5048f6, 0xb2640f8d71ce5a39};

}  // namespace

std::shared_ptr<nn::Classifier> to_classifier(Napi::Value value, const std::string& where) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&classifier_tag)) {
    refuse(where, "a classifier", value);
  }
  return ClassifierObject::Unwrap(value.As<Napi::Object>())->classifier_;
}

void ClassifierObject::define(Napi::Env env) {
  instance(env).constructor<ClassifierObject>() = Napi::Persistent(DefineClass(
      env, "Classifier",
      {InstanceMethod<&ClassifierObject::weights>("weights"), InstanceMethod<&ClassifierObject::load>("load"),
       InstanceMethod<&ClassifierObject::log_probability>("logProbability"),
       InstanceMethod<&ClassifierObject::accumulate>("accumulate")}));
}

Napi::Object wrap_network(Napi::Env env, std::shared_ptr<nn::Classifier> classifier) {
  return wrap<ClassifierObject>(env, std::move(classifier));
}

ClassifierObject::ClassifierObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<ClassifierObject>(info),
      classifier_(constructed<nn::Classifier>(info, "Classifier", "newNetwork or loadNetwork")) {
  info.This().As<Napi::Object>().TypeTag(&classifier_tag);
}

Napi::Value ClassifierObject::weights(const Napi::CallbackInfo& info) {
  return from_named_tensors(info.Env(), classifier_->weights());
}

// load(tensors)
Napi::Value ClassifierObject::load(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [classifier = classifier_, tensors = to_named_tensors(info[0], "load: tensors")] {
              copy_named(classifier->weights(), tensors, "the classifier's weights");
            },
            [](Napi::Env env) { return env.Undefined(); });
  });
}

// logProbability(images, labels, wantGrad)
Napi::Value ClassifierObject::log_probability(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [classifier = classifier_, images = to_tensor(info[0], "logProbability: images"),
             labels = to_integers(info[1], "logProbability: labels"),
             want_grad = to_boolean(info[2], "logProbability: wantGrad")] {
              return classifier->log_probability(images, labels, want_grad);
            },
            [](Napi::Env env, nn::Classifier::Reading reading) {
              Napi::Object result = Napi::Object::New(env);
              result.Set("values", from_floats(env, reading.values));
              if (reading.grad.defined()) result.Set("grad", wrap_tensor(env, std::move(reading.grad)));
              Napi::Int32Array predicted = Napi::Int32Array::New(env, reading.predicted.size());
              std::copy(reading.predicted.begin(), reading.predicted.end(), predicted.Data());
              result.Set("predicted", predicted);
              result.Set("features", wrap_tensor(env, std::move(reading.features)));
              return result;
            });
  });
}

// accumulate(images, labels, labelSmoothing)
Napi::Value ClassifierObject::accumulate(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [classifier = classifier_, images = to_tensor(info[0], "accumulate: images"),
             labels = to_integers(info[1], "accumulate: labels"),
             smoothing = to_number(info[2], "accumulate: labelSmoothing")] {
              return classifier->accumulate(images, labels, smoothing);
            },
            [](Napi::Env env, nn::Classifier::Step step) {
              Napi::Object result = Napi::Object::New(env);
              result.Set("loss", step.loss);
              result.Set("correct", static_cast<double>(step.correct));
              return result;
            });
  });
}

void define_classifier(Napi::Env env, Napi::Object) {
  ClassifierObject::define(env);
}

}  // namespace eam::addon
