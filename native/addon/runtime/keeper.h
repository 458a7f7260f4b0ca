#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace eam::addon {

// JavaScript values whose memory native tensors borrow. A tensor's storage may be freed on any thread, a JavaScript
// reference only on its own: `release` notes what is no longer needed and asks for a `drain` there.
// Held by shared_ptr: storages can outlive the environment.
class Keeper {
 public:
  using Id = uint64_t;

  // `wake` must cause `drain` on the JavaScript thread; it is called from any thread.
  explicit Keeper(std::function<void()> wake) : wake_(std::move(wake)) {}

  Id keep(Napi::Object value);     // JavaScript thread
  Napi::Value value(Id id) const;  // JavaScript thread
  void release(Id id) noexcept;    // any thread
  void drain();                    // JavaScript thread
  void close() noexcept;           // JavaScript thread, as the environment ends: drops everything

 private:
  std::mutex mutex_;
  std::function<void()> wake_;
  std::vector<Id> released_;
  std::unordered_map<Id, Napi::ObjectReference> kept_;  // JavaScript thread only
  Id next_ = 1;
};

}  // namespace eam::addon
