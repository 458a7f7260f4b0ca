#pragma once

#include <atomic>
#include <memory>

#include "ops/error.h"

namespace eam {

// Set from the JavaScript thread, read by the executor between network evaluations.
class Cancellation {
 public:
  Cancellation() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void cancel() const noexcept { flag_->store(true, std::memory_order_relaxed); }
  void check() const {
    if (flag_->load(std::memory_order_relaxed)) throw Error(ErrorKind::cancelled, "cancelled");
  }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

}  // namespace eam
