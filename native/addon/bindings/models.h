#pragma once

#include <napi.h>

#include <memory>
#include <optional>
#include <string>

#include "nn/digits/digit_classifier.h"
#include "nn/layers/lora.h"
#include "ops/flow_model.h"

namespace eam::addon {

// Any FlowModel (`NativeFlowModel`). A new architecture is one more factory beside DigitsModel's; this class and all
// that takes a model stay as they are.
class FlowModelObject : public Napi::ObjectWrap<FlowModelObject> {
 public:
  static void define(Napi::Env env);
  static Napi::Object wrap(Napi::Env env, std::shared_ptr<FlowModel> model);
  explicit FlowModelObject(const Napi::CallbackInfo& info);

 private:
  friend std::shared_ptr<FlowModel> to_flow_model(Napi::Value value, const std::string& where);

  Napi::Value trainable_names(const Napi::CallbackInfo& info);
  Napi::Value weights(const Napi::CallbackInfo& info);
  Napi::Value trainable(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value velocity(const Napi::CallbackInfo& info);
  Napi::Value gradients(const Napi::CallbackInfo& info);
  Napi::Value images(const Napi::CallbackInfo& info);

  std::shared_ptr<FlowModel> model_;
};

// `DigitClassifier` (NativeClassifier).
class ClassifierObject : public Napi::ObjectWrap<ClassifierObject> {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  explicit ClassifierObject(const Napi::CallbackInfo& info);

 private:
  friend NamedTensors to_trainable(Napi::Value value, const std::string& where);

  Napi::Value weights(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value log_probability(const Napi::CallbackInfo& info);
  Napi::Value accumulate(const Napi::CallbackInfo& info);

  std::shared_ptr<nn::DigitClassifier> classifier_;
};

// The options of an adapter, or undefined: none.
std::optional<nn::LoraConfig> to_lora(Napi::Value value, const char* function);

// The network of a NativeFlowModel argument; Error(config) for anything else.
std::shared_ptr<FlowModel> to_flow_model(Napi::Value value, const std::string& where);

// What an optimizer updates: of a NativeFlowModel or a NativeClassifier.
NamedTensors to_trainable(Napi::Value value, const std::string& where);

}  // namespace eam::addon
