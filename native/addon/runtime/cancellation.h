#pragma once

#include <napi.h>

#include "ops/cancellation.h"

namespace eam::addon {

// JavaScript's handle on a Cancellation: `new Cancellation()`, `cancel()`.
class CancellationObject : public Napi::ObjectWrap<CancellationObject> {
 public:
  explicit CancellationObject(const Napi::CallbackInfo& info);
  static bool is(Napi::Value value);
  const Cancellation& get() const { return cancellation_; }

 private:
  friend void define_cancellation(Napi::Env env, Napi::Object exports);
  void cancel(const Napi::CallbackInfo& info);
  Cancellation cancellation_;
};

}  // namespace eam::addon
