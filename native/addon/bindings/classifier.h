#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "nn/layers/classifier.h"

namespace eam::addon {

// A NativeClassifier: any Classifier.
class ClassifierObject : public Napi::ObjectWrap<ClassifierObject> {
 public:
  static void define(Napi::Env env);
  explicit ClassifierObject(const Napi::CallbackInfo& info);

 private:
  friend std::shared_ptr<nn::Classifier> to_classifier(Napi::Value value, const std::string& where);

  Napi::Value weights(const Napi::CallbackInfo& info);
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value log_probability(const Napi::CallbackInfo& info);
  Napi::Value accumulate(const Napi::CallbackInfo& info);

  std::shared_ptr<nn::Classifier> classifier_;
};

// The network of a NativeClassifier argument; Error(config) for anything else.
std::shared_ptr<nn::Classifier> to_classifier(Napi::Value value, const std::string& where);

}  // namespace eam::addon
