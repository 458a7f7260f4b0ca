#pragma once

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/recorded/program.h"

namespace eam::addon {

// A program that is being recorded by the JavaScript function that this thread is calling.
struct Recording;

// A tensor of a program that is being recorded: a Tensor to JavaScript, with a shape and no numbers.
class RecordedTensorObject : public Napi::ObjectWrap<RecordedTensorObject> {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  explicit RecordedTensorObject(const Napi::CallbackInfo& info);

 private:
  friend Napi::Object wrap_recorded(Napi::Env env, std::shared_ptr<Recording> recording, nn::ValueId id);
  friend nn::ValueId recorded_value(Napi::Value value, const std::string& where, const Recording& recording);

  const at::Tensor& meta(const Napi::CallbackInfo& info) const;
  Napi::Value shape(const Napi::CallbackInfo& info);
  Napi::Value dtype(const Napi::CallbackInfo& info);
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value disposed(const Napi::CallbackInfo& info);
  Napi::Value trained(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  Napi::Value no_numbers(const Napi::CallbackInfo& info);
  Napi::Value no_numbers_yet(const Napi::CallbackInfo& info);
  Napi::Value inspect(const Napi::CallbackInfo& info);

  std::shared_ptr<Recording> recording_;
  nn::ValueId id_{0};
};

// An input of a program: its shape and dtype, and whether training changes it.
struct RecordedInput {
  at::Tensor like;
  bool trained = false;
};

// Calls `function` with the inputs, which returns the result, and gives the program. JavaScript thread. Error(config)
// for a result that is none of the program's tensors.
std::shared_ptr<const nn::Program> record_program(Napi::Env env, at::Device device,
                                                  const std::vector<RecordedInput>& inputs, const std::string& where,
                                                  const std::function<Napi::Value(Napi::Array values)>& function);

}  // namespace eam::addon
