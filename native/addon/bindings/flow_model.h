#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "ops/flow_model.h"

namespace eam::addon {

// A NativeFlowModel: any FlowModel.
class FlowModelObject : public Napi::ObjectWrap<FlowModelObject> {
 public:
  static void define(Napi::Env env);
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

bool is_flow_model(Napi::Value value);

// The network of a NativeFlowModel argument; Error(config) for anything else.
std::shared_ptr<FlowModel> to_flow_model(Napi::Value value, const std::string& where);

}  // namespace eam::addon
