#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "algorithms/optimizer.h"

namespace eam::addon {

// `AdamW` (NativeOptimizer).
class OptimizerObject : public Napi::ObjectWrap<OptimizerObject> {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  explicit OptimizerObject(const Napi::CallbackInfo& info);

 private:
  friend std::shared_ptr<Optimizer> to_optimizer(Napi::Value value, const std::string& where);

  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value step_count(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);

  std::shared_ptr<Optimizer> optimizer_;
  // What JavaScript reads: the executor may be changing the optimizer's own count meanwhile.
  int64_t step_count_ = 0;
};

// The optimizer of a NativeOptimizer argument; Error(config) for anything else.
std::shared_ptr<Optimizer> to_optimizer(Napi::Value value, const std::string& where);

}  // namespace eam::addon
