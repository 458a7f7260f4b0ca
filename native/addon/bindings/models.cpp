#include "addon/bindings/models.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <optional>

#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "algorithms/velocity_gradients.h"
#include "nn/digits/digits_model.h"
#include "ops/named_tensors.h"

namespace eam::addon {
namespace {

constexpr napi_type_tag flow_model_tag = {0x6f0c5a8b21d94e37, 0x83a1e4d7c05b9f62};
constexpr napi_type_tag classifier_tag = {0x1d7e93c4ab5048f6, 0xb2640f8d71ce5a39};

bool has_tag(Napi::Value value, const napi_type_tag& tag) {
  return value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&tag);
}

// new DigitsModel(config, seed, lora, dtype, device): a function that returns the object, so that every architecture
// shares one class.
Napi::Value digits_model(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Options options(info[0], "DigitsModel",
                          {"imageSize", "channels", "patchSize", "width", "depth", "heads", "mlpRatio", "classes"});
    const nn::DigitsModelConfig config = {options.integer("imageSize"), options.integer("channels"),
                                          options.integer("patchSize"), options.integer("width"),
                                          options.integer("depth"),     options.integer("heads"),
                                          options.number("mlpRatio"),   options.integer("classes")};
    const uint64_t seed = to_uint64(info[1], "DigitsModel: `seed`");
    const std::optional<nn::LoraConfig> lora = to_lora(info[2], "DigitsModel: `lora`");
    const std::string dtype_where = "DigitsModel: `dtype`";
    const at::ScalarType dtype = floating_dtype_of(to_string(info[3], dtype_where), dtype_where);
    const std::string where = "DigitsModel: `device`";
    const at::Device device = device_of(to_string(info[4], where), where);
    return FlowModelObject::wrap(info.Env(), instance(info.Env()).executor.call(info.Env(), [&] {
      return std::make_shared<nn::DigitsModel>(config, seed, lora, dtype, device);
    }));
  });
}

}  // namespace

std::optional<nn::LoraConfig> to_lora(Napi::Value value, const char* function) {
  if (value.IsUndefined()) return std::nullopt;
  const Options options(value, function, {"rank", "alpha", "targets", "seed"});
  return nn::LoraConfig{options.integer("rank"), options.number("alpha"),
                        to_strings(options.get("targets"), options.where("targets")), options.uint64("seed")};
}

std::shared_ptr<FlowModel> to_flow_model(Napi::Value value, const std::string& where) {
  if (!has_tag(value, flow_model_tag)) {
    throw Error(ErrorKind::config, where + " must be a model, got " + describe(value));
  }
  return FlowModelObject::Unwrap(value.As<Napi::Object>())->model_;
}

NamedTensors to_trainable(Napi::Value value, const std::string& where) {
  if (has_tag(value, flow_model_tag)) return to_flow_model(value, where)->trainable();
  if (has_tag(value, classifier_tag)) return ClassifierObject::Unwrap(value.As<Napi::Object>())->classifier_->weights();
  throw Error(ErrorKind::config, where + " must be a model or a classifier, got " + describe(value));
}

void FlowModelObject::define(Napi::Env env) {
  instance(env).constructor<FlowModelObject>() = Napi::Persistent(DefineClass(
      env, "FlowModel",
      {InstanceAccessor<&FlowModelObject::trainable_names>("trainableNames"),
       InstanceMethod<&FlowModelObject::weights>("weights"), InstanceMethod<&FlowModelObject::trainable>("trainable"),
       InstanceMethod<&FlowModelObject::load>("load"), InstanceMethod<&FlowModelObject::velocity>("velocity"),
       InstanceMethod<&FlowModelObject::gradients>("gradients"), InstanceMethod<&FlowModelObject::images>("images")}));
}

Napi::Object FlowModelObject::wrap(Napi::Env env, std::shared_ptr<FlowModel> model) {
  return instance(env).constructor<FlowModelObject>().New(
      {Napi::External<std::shared_ptr<FlowModel>>::New(env, &model)});
}

// JavaScript can reach the constructor through an object of the class; one without a network would end the process.
FlowModelObject::FlowModelObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FlowModelObject>(info) {
  guarded(info.Env(), [&] {
    if (info.Length() != 1 || !info[0].IsExternal()) {
      throw Error(ErrorKind::config, "FlowModel has no public constructor; use DigitsModel");
    }
    model_ = std::move(*info[0].As<Napi::External<std::shared_ptr<FlowModel>>>().Data());
  });
  info.This().As<Napi::Object>().TypeTag(&flow_model_tag);
}

Napi::Value FlowModelObject::trainable_names(const Napi::CallbackInfo& info) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : model_->trainable()) names.push_back(name);
  return from_strings(info.Env(), names);
}

Napi::Value FlowModelObject::weights(const Napi::CallbackInfo& info) {
  return from_named_tensors(info.Env(), model_->weights());
}

Napi::Value FlowModelObject::trainable(const Napi::CallbackInfo& info) {
  return from_named_tensors(info.Env(), model_->trainable());
}

// load(kind, tensors)
Napi::Value FlowModelObject::load(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const std::string kind = to_string(info[0], "load: `kind`");
    if (kind != "weights" && kind != "trainable") {
      throw Error(ErrorKind::config, "load: `kind` must be 'weights' or 'trainable', got '" + kind + "'");
    }
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [model = model_, kind, tensors = to_named_tensors(info[1], "load: `tensors`")] {
              copy_named(kind == "weights" ? model->weights() : model->trainable(), tensors,
                         kind == "weights" ? "the model's weights" : "the model's trainable tensors");
            },
            [](Napi::Env env) { return env.Undefined(); });
  });
}

// velocity(x, t, conditioning, pretrained)
Napi::Value FlowModelObject::velocity(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const at::Tensor x = to_tensor(info[0], "velocity: `x`");
    const std::vector<double> t = to_per_sample(info[1], x.dim() > 0 ? x.size(0) : 0, "velocity: `t`");
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [model = model_, x, t, conditioning = to_tensors(info[2], "velocity: `conditioning`"),
             pretrained = to_boolean(info[3], "velocity: `pretrained`")] {
              at::NoGradGuard no_grad;
              const at::Tensor times = at::tensor(t, at::kDouble).to(x.device(), at::kFloat);
              return pretrained ? model->pretrained_velocity(x, times, conditioning)
                                : model->velocity(x, times, conditioning);
            },
            [](Napi::Env env, at::Tensor velocity) { return wrap_tensor(env, std::move(velocity)); });
  });
}

// gradients(x, t, conditioning, upstream, names)
Napi::Value FlowModelObject::gradients(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const at::Tensor x = to_tensor(info[0], "gradients: `x`");
    const std::vector<double> t = to_per_sample(info[1], x.dim() > 0 ? x.size(0) : 0, "gradients: `t`");
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [model = model_, x, t, conditioning = to_tensors(info[2], "gradients: `conditioning`"),
             upstream = to_tensor(info[3], "gradients: `upstream`"),
             names = to_strings(info[4], "gradients: `names`")] {
              const at::Tensor times = at::tensor(t, at::kDouble).to(x.device(), at::kFloat);
              return named("gradients",
                           [&] { return velocity_gradients(*model, x, times, conditioning, upstream, names); });
            },
            [](Napi::Env env, VelocityGradients found) {
              Napi::Object result = Napi::Object::New(env);
              result.Set("velocity", wrap_tensor(env, std::move(found.velocity)));
              result.Set("x", wrap_tensor(env, std::move(found.x)));
              result.Set("tensors", from_named_tensors(env, found.tensors));
              return result;
            });
  });
}

// images(latents)
Napi::Value FlowModelObject::images(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [model = model_, latents = to_tensor(info[0], "images: `latents`")] {
              at::NoGradGuard no_grad;
              return model->images(latents);
            },
            [](Napi::Env env, at::Tensor images) { return wrap_tensor(env, std::move(images)); });
  });
}

void ClassifierObject::define(Napi::Env env, Napi::Object exports) {
  exports.Set("DigitClassifier", DefineClass(env, "DigitClassifier",
                                             {InstanceMethod<&ClassifierObject::weights>("weights"),
                                              InstanceMethod<&ClassifierObject::load>("load"),
                                              InstanceMethod<&ClassifierObject::log_probability>("logProbability"),
                                              InstanceMethod<&ClassifierObject::accumulate>("accumulate")}));
}

// new DigitClassifier(config, seed, device)
ClassifierObject::ClassifierObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ClassifierObject>(info) {
  guarded(info.Env(), [&] {
    const Options options(info[0], "DigitClassifier", {"imageSize", "channels", "widths", "features", "classes"});
    const nn::DigitClassifierConfig config = {options.integer("imageSize"), options.integer("channels"),
                                              to_integers(options.get("widths"), options.where("widths")),
                                              options.integer("features"), options.integer("classes")};
    const uint64_t seed = to_uint64(info[1], "DigitClassifier: `seed`");
    const std::string where = "DigitClassifier: `device`";
    const at::Device device = device_of(to_string(info[2], where), where);
    classifier_ = instance(info.Env()).executor.call(info.Env(), [&] {
      return std::make_shared<nn::DigitClassifier>(config, seed, device);
    });
  });
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
            [classifier = classifier_, tensors = to_named_tensors(info[0], "load: `tensors`")] {
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
            [classifier = classifier_, images = to_tensor(info[0], "logProbability: `images`"),
             labels = to_integers(info[1], "logProbability: `labels`"),
             want_grad = to_boolean(info[2], "logProbability: `wantGrad`")] {
              return classifier->log_probability(images, labels, want_grad);
            },
            [](Napi::Env env, nn::DigitClassifier::Reading reading) {
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
            [classifier = classifier_, images = to_tensor(info[0], "accumulate: `images`"),
             labels = to_integers(info[1], "accumulate: `labels`"),
             smoothing = to_number(info[2], "accumulate: `labelSmoothing`")] {
              return classifier->accumulate(images, labels, smoothing);
            },
            [](Napi::Env env, nn::DigitClassifier::Step step) {
              Napi::Object result = Napi::Object::New(env);
              result.Set("loss", step.loss);
              result.Set("correct", static_cast<double>(step.correct));
              return result;
            });
  });
}

void define_models(Napi::Env env, Napi::Object exports) {
  FlowModelObject::define(env);
  exports.Set("DigitsModel", Napi::Function::New<digits_model>(env, "DigitsModel"));
  ClassifierObject::define(env, exports);
}

}  // namespace eam::addon
