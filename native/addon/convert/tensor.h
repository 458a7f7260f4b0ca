#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "addon/runtime/keeper.h"

namespace eam::addon {

// The public `Tensor` class (lib/runtime/native/tensor.ts): owns one at::Tensor until dispose().
class TensorObject : public Napi::ObjectWrap<TensorObject> {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  explicit TensorObject(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override;

  // Error(disposed) after dispose(), or where the typed array that was handed to Tensor.from has been transferred
  // away. `where` names the argument: "renoise: x1".
  const at::Tensor& get(const std::string& where) const;

  // As get, for a network that keeps the tensor: a copy where JavaScript can take the memory away.
  at::Tensor lasting(const std::string& where) const;

  // Empty after dispose().
  const std::optional<at::Tensor>& held() const { return tensor_; }

  // For a result's `out`. Error(config) where the memory is not this Tensor's or its caller's to change.
  const at::Tensor& get_writable(const std::string& where) const;

  // Nothing native writes to the memory but calls that name this Tensor, so it can be read on the JavaScript thread.
  void set_steady() { steady_ = true; }

  // While a mark lives, an asynchronous call that will write to this tensor has not finished.
  using WriteMark = std::shared_ptr<void>;
  WriteMark mark_write();
  bool being_written() const { return writes_ && writes_->load(std::memory_order_acquire) > 0; }

  // Error(config) while being_written(): `call` would read or hand on numbers that are not there yet.
  void check_written(const std::string& where) const;

 private:
  static Napi::Value from(const Napi::CallbackInfo& info);
  static Napi::Value from_pointer(const Napi::CallbackInfo& info);
  static Napi::Value from_dlpack(const Napi::CallbackInfo& info);
  Napi::Value to_dlpack(const Napi::CallbackInfo& info);
  Napi::Value data_pointer(const Napi::CallbackInfo& info);
  Napi::Value shape(const Napi::CallbackInfo& info);
  Napi::Value dtype(const Napi::CallbackInfo& info);
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value disposed(const Napi::CallbackInfo& info);
  Napi::Value data(const Napi::CallbackInfo& info);
  Napi::Value data_sync(const Napi::CallbackInfo& info);
  Napi::Value to(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  Napi::Value inspect(const Napi::CallbackInfo& info);
  TensorObject& receiver(const Napi::CallbackInfo& info);
  void release(Napi::Env env);

  std::optional<at::Tensor> tensor_;
  Keeper::Id borrowed_ = 0;  // the typed array whose memory tensor_ shares; 0: none
  bool detachable_ = false;  // that memory can be transferred away
  bool writable_ = false;
  bool steady_ = false;
  std::shared_ptr<std::atomic<int>> writes_;  // made with the first mark
  int64_t reported_ = 0;                      // bytes told to V8
};

// A new Tensor over `tensor` (any strides, on any device; autograd history is dropped). JavaScript thread only.
Napi::Object wrap_tensor(Napi::Env env, at::Tensor tensor);

bool is_tensor(Napi::Value value);

// Whether JavaScript (or a mapped file) can change the tensor's numbers: its memory is not LibTorch's own.
bool borrows_memory(const at::Tensor& tensor);

// The at::Tensor of a Tensor argument. Error(shape) when the value is no Tensor, Error(disposed) as `get`.
at::Tensor to_tensor(Napi::Value value, const std::string& where);

// As to_tensor, for a call that computes on the JavaScript thread at once: Error(config) also for a tensor that is not
// on the CPU or not written yet.
at::Tensor to_readable(Napi::Value value, const std::string& where);
void check_on_cpu(at::Device device, const std::string& where);

// The Tensor object itself, for what its at::Tensor does not tell.
TensorObject& to_tensor_object(Napi::Value value, const std::string& where);

}  // namespace eam::addon
