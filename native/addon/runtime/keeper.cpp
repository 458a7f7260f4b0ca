#include "addon/runtime/keeper.h"

namespace eam::addon {

Keeper::Id Keeper::keep(Napi::Object value) {
  drain();  // a program that never returns to the event loop must not pile up what it has released
  Id id = next_++;
  kept_.emplace(id, Napi::Persistent(value));
  return id;
}

Napi::Value Keeper::value(Id id) const {
  return kept_.at(id).Value();
}

void Keeper::release(Id id) noexcept {
  std::lock_guard lock(mutex_);
  if (!wake_) return;
  released_.push_back(id);
  wake_();
}

void Keeper::drain() {
  std::vector<Id> released;
  {
    std::lock_guard lock(mutex_);
    released.swap(released_);
  }
  for (Id id : released) kept_.erase(id);
}

void Keeper::close() noexcept {
  {
    std::lock_guard lock(mutex_);
    wake_ = nullptr;
  }
  kept_.clear();
}

}  // namespace eam::addon
