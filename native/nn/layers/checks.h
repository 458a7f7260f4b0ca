#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

#include "ops/error.h"

// What networks check of their configurations and inputs.
namespace eam::nn {

// Error(shape) for a tensor of whole numbers.
void check_floating_point(std::string_view name, const at::Tensor& tensor);

// Error(shape) for a tensor that is not on `device`, where `what` is: "the model".
void check_device_of(std::string_view name, const at::Tensor& tensor, const char* what, at::Device device);

// Error(shape) for anything but a floating-point tensor [B, channels, H, W] on `device`, where `what` is, whose H and W
// are multiples of `multiple`.
void check_grid(const char* name, const at::Tensor& x, int64_t channels, int64_t multiple, const char* what,
                at::Device device);

// Error(config) where `value` is no multiple of `unit`, which `of` names.
void check_multiple(const char* name, int64_t value, const char* of, int64_t unit);

// Token ids [B, L], of an integer type, L in 1 to `positions`, as int64 on the device; Error(shape) also for one that
// is not in 0 to vocabulary − 1: an index outside the table would abort a CUDA context, which no later call survives.
// positions 0: any L.
at::Tensor checked_ids(const at::Tensor& ids, int64_t vocabulary, int64_t positions, at::Device device);

}  // namespace eam::nn
