#pragma once

#include <ATen/record_function.h>

#include <string_view>

namespace eam::ops {

constexpr std::string_view kStagePrefix = "eam::stage::";

// While it lives, an iteration is in this stage: seen by LibTorch's profiler, and timed where somebody asked for it
// (addon/bindings/measurements.cpp). `name` begins with the prefix. Stages do not nest.
class Stage {
 public:
  explicit Stage(const char* name) : record_(at::RecordScope::USER_SCOPE) {
    if (record_.isActive()) record_.before(name);
  }

 private:
  at::RecordFunction record_;
};

}  // namespace eam::ops
