#pragma once

#include <napi.h>

#include <memory>
#include <typeindex>
#include <unordered_map>

#include "addon/runtime/errors.h"
#include "addon/runtime/executor.h"
#include "addon/runtime/keeper.h"

namespace eam::addon {

// Everything that belongs to one environment (the main thread or a worker); there is no static JavaScript reference.
struct Instance {
  explicit Instance(Napi::Env env);
  ~Instance();

  // The JavaScript constructor of a wrapped class, set by its `define`.
  template <class Wrapped>
  Napi::FunctionReference& constructor() {
    return constructors_[std::type_index(typeid(Wrapped))];
  }

  ErrorClasses errors;
  Executor executor;
  std::shared_ptr<Keeper> keeper;

 private:
  std::unordered_map<std::type_index, Napi::FunctionReference> constructors_;
};

inline Instance& instance(Napi::Env env) {
  return *env.GetInstanceData<Instance>();
}

}  // namespace eam::addon
