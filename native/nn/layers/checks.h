#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <sstream>
#include <string>

#include "ops/error.h"

// What networks check of their configurations and inputs.
namespace eam::nn {

template <typename... Parts>
[[noreturn]] void shape_error(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(ErrorKind::shape, message.str());
}

// Error(config) where `value` is no multiple of `unit`, which `of` names.
void check_multiple(const char* name, int64_t value, const char* of, int64_t unit);

// Token ids [B, L], of an integer type, L in 1 to `positions`, as int64 on the device; Error(shape) also for one that
// is not in 0 to vocabulary − 1: an index outside the table would abort a CUDA context, which no later call survives.
// positions 0: any L.
at::Tensor checked_ids(const at::Tensor& ids, int64_t vocabulary, int64_t positions, at::Device device);

}  // namespace eam::nn
