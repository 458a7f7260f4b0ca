#include "addon/bindings/optimizer.h"

#include "addon/bindings/classifier.h"
#include "addon/bindings/flow_model.h"
#include "addon/convert/convert.h"
#include "addon/convert/options.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"

namespace eam::addon {
namespace {

constexpr napi_type_tag optimizer_tag = {0xc3f9471e6d0a4b85, 0x97e25cb08143d6fa};

// What it updates: the tensors that training changes, of a NativeFlowModel or a NativeClassifier.
NamedTensors to_trainable(Napi::Value value, const std::string& where) {
  if (is_flow_model(value)) return to_flow_model(value, where)->trainable();
  return to_classifier(value, where)->weights();
}

}  // namespace

std::shared_ptr<Optimizer> to_optimizer(Napi::Value value, const std::string& where) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&optimizer_tag)) {
    refuse(where, "an optimizer", value);
  }
  return OptimizerObject::Unwrap(value.As<Napi::Object>())->optimizer_;
}

void OptimizerObject::define(Napi::Env env, Napi::Object exports) {
  exports.Set("AdamW", DefineClass(env, "AdamW",
                                   {InstanceMethod<&OptimizerObject::step>("step"),
                                    InstanceMethod<&OptimizerObject::state>("state"),
                                    InstanceAccessor<&OptimizerObject::step_count>("stepCount"),
                                    InstanceMethod<&OptimizerObject::load>("load")}));
}

// new AdamW(owner, options)
OptimizerObject::OptimizerObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<OptimizerObject>(info) {
  guarded(info.Env(), [&] {
    const auto settings = to_options<OptimizerOptions>(info[1], "AdamW");
    const NamedTensors trainable = to_trainable(info[0], "AdamW: owner");
    optimizer_ = instance(info.Env()).executor.call(info.Env(), [&] {
      return std::make_shared<Optimizer>(trainable, settings);
    });
  });
  info.This().As<Napi::Object>().TypeTag(&optimizer_tag);
}

// step(learningRate, maxNorm)
Napi::Value OptimizerObject::step(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    if (!info[1].IsNumber()) {  // Infinity is a value here: no clipping
      refuse("step: maxNorm", "a number", info[1]);
    }
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [optimizer = optimizer_, learning_rate = to_number(info[0], "step: learningRate"),
             max_norm = info[1].As<Napi::Number>().DoubleValue()] {
              const Optimizer::Step step = optimizer->step(learning_rate, max_norm);
              return std::pair(step, optimizer->step_count());
            },
            // The reference keeps this object until the step is done.
            [this, keep = std::make_shared<Napi::ObjectReference>(Napi::Persistent(info.This().As<Napi::Object>()))](
                Napi::Env env, std::pair<Optimizer::Step, int64_t> result) {
              step_count_ = result.second;
              Napi::Object object = Napi::Object::New(env);
              object.Set("gradNorm", result.first.grad_norm);
              object.Set("skipped", result.first.skipped);
              return object;
            });
  });
}

Napi::Value OptimizerObject::state(const Napi::CallbackInfo& info) {
  return from_named_tensors(info.Env(), optimizer_->state());
}

Napi::Value OptimizerObject::step_count(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(step_count_));
}

// load(tensors, stepCount)
Napi::Value OptimizerObject::load(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const int64_t count = to_integer(info[1], "load: stepCount");
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [optimizer = optimizer_, tensors = to_named_tensors(info[0], "load: tensors"), count] {
              optimizer->load(tensors, count);
            },
            [this, keep = std::make_shared<Napi::ObjectReference>(Napi::Persistent(info.This().As<Napi::Object>())),
             count](Napi::Env env) {
              step_count_ = count;
              return env.Undefined();
            });
  });
}

void define_optimizer(Napi::Env env, Napi::Object exports) {
  OptimizerObject::define(env, exports);
}

}  // namespace eam::addon
