#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <optional>
#include <string>

#include "addon/keeper.h"

namespace eam::addon {

// The public `Tensor` class (lib/tensor.ts): owns one at::Tensor until dispose().
class TensorObject : public Napi::ObjectWrap<TensorObject> {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  explicit TensorObject(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override;

  // Error(disposed) after dispose(), or where the typed array that was handed to Tensor.from has been transferred
  // away. `where` names the argument: "renoise: `x1`".
  const at::Tensor& get(const std::string& where) const;

  // Empty after dispose().
  const std::optional<at::Tensor>& held() const { return tensor_; }

 private:
  static Napi::Value from(const Napi::CallbackInfo& info);
  Napi::Value shape(const Napi::CallbackInfo& info);
  Napi::Value dtype(const Napi::CallbackInfo& info);
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value disposed(const Napi::CallbackInfo& info);
  Napi::Value data(const Napi::CallbackInfo& info);
  Napi::Value to(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  Napi::Value inspect(const Napi::CallbackInfo& info);
  TensorObject& receiver(const Napi::CallbackInfo& info);
  void release(Napi::Env env);

  std::optional<at::Tensor> tensor_;
  Keeper::Id borrowed_ = 0;  // the typed array whose memory tensor_ shares; 0: none
  int64_t reported_ = 0;     // bytes told to V8
};

// A new Tensor over `tensor` (any strides, on any device; autograd history is dropped). JavaScript thread only.
Napi::Object wrap_tensor(Napi::Env env, at::Tensor tensor);

bool is_tensor(Napi::Value value);

// Whether JavaScript (or a mapped file) can change the tensor's numbers: its memory is not LibTorch's own.
bool borrows_memory(const at::Tensor& tensor);

// The at::Tensor of a Tensor argument. Error(shape) when the value is no Tensor, Error(disposed) as `get`.
at::Tensor to_tensor(Napi::Value value, const std::string& where);

}  // namespace eam::addon
