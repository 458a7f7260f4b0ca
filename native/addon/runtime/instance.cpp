#include "addon/runtime/instance.h"

namespace eam::addon {

Instance::Instance(Napi::Env env) : executor(env), keeper(std::make_shared<Keeper>([this] { executor.wake(); })) {
  executor.on_wake([this](Napi::Env) { keeper->drain(); });
}

Instance::~Instance() {
  executor.stop();
  keeper->close();
}

}  // namespace eam::addon
