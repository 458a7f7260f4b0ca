#include "addon/bindings/flow_model.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include "addon/bindings/network_object.h"
#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "algorithms/velocity_gradients.h"
#include "ops/named_tensors.h"

namespace eam::addon {
namespace {

constexpr napi_type_tag flow_model_tag = {0x6f0c5a8b21d94e37, 0x83a1e4d7c05b9f62};

}  // namespace

bool is_flow_model(Napi::Value value) {
  return value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&flow_model_tag);
}

std::shared_ptr<FlowModel> to_flow_model(Napi::Value value, const std::string& where) {
  if (!is_flow_model(value)) {
    refuse(where, "a model", value);
  }
  return FlowModelObject::Unwrap(value.As<Napi::Object>())->model_;
}

void FlowModelObject::define(Napi::Env env) {
  instance(env).constructor<FlowModelObject>() = Napi::Persistent(DefineClass(
      env, "FlowModel",
      {InstanceAccessor<&FlowModelObject::trainable_names>("trainableNames"),
       InstanceMethod<&FlowModelObject::weights>("weights"), InstanceMethod<&FlowModelObject::trainable>("trainable"),
       InstanceMethod<&FlowModelObject::load>("load"), InstanceMethod<&FlowModelObject::velocity>("velocity"),
       InstanceMethod<&FlowModelObject::gradients>("gradients"), InstanceMethod<&FlowModelObject::images>("images")}));
}

Napi::Object wrap_network(Napi::Env env, std::shared_ptr<FlowModel> model) {
  return wrap<FlowModelObject>(env, std::move(model));
}

FlowModelObject::FlowModelObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<FlowModelObject>(info),
      model_(constructed<FlowModel>(info, "FlowModel", "newNetwork or loadNetwork")) {
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
    const std::string kind = to_string(info[0], "load: kind");
    if (kind != "weights" && kind != "trainable") {
      throw bad_value("load: kind", one_of({"weights", "trainable"}), in_quotes(kind));
    }
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [model = model_, kind, tensors = to_named_tensors(info[1], "load: tensors")] {
              copy_named(kind == "weights" ? model->weights() : model->trainable(), tensors,
                         kind == "weights" ? "the model's weights" : "the model's trainable tensors");
            },
            [](Napi::Env env) { return env.Undefined(); });
  });
}

// velocity(x, t, conditioning, pretrained)
Napi::Value FlowModelObject::velocity(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const at::Tensor x = to_tensor(info[0], "velocity: x");
    const std::vector<double> t = to_per_sample(info[1], x.dim() > 0 ? x.size(0) : 0, "velocity: t");
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [model = model_, x, t, conditioning = to_tensors(info[2], "velocity: conditioning"),
             pretrained = to_boolean(info[3], "velocity: pretrained")] {
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
    const at::Tensor x = to_tensor(info[0], "gradients: x");
    const std::vector<double> t = to_per_sample(info[1], x.dim() > 0 ? x.size(0) : 0, "gradients: t");
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [model = model_, x, t, conditioning = to_tensors(info[2], "gradients: conditioning"),
             upstream = to_tensor(info[3], "gradients: upstream"), names = to_strings(info[4], "gradients: names")] {
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
            [model = model_, latents = to_tensor(info[0], "images: latents")] {
              at::NoGradGuard no_grad;
              return model->images(latents);
            },
            [](Napi::Env env, at::Tensor images) { return wrap_tensor(env, std::move(images)); });
  });
}

void define_flow_model(Napi::Env env, Napi::Object) {
  FlowModelObject::define(env);
}

}  // namespace eam::addon
