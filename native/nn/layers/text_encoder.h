#pragma once

#include <ATen/core/Tensor.h>

#include "ops/error.h"

namespace eam::nn {

// A text encoder of a published model.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;

  struct Encoded {
    at::Tensor hidden;  // [B, L, width]: what a text-to-image model attends to
    at::Tensor pooled;  // [B, projection]: one feature a text; undefined where the encoder has none
  };
  // ids [B, L], of an integer type, moved to the weights' device. mask [B, L], boolean: which of them are of the text
  // and not padding; undefined where the encoder attends to all of them, as those do that have no use for a mask.
  // Error(shape) for what does not fit. The result is of the weights' dtype.
  virtual Encoded forward(const at::Tensor& ids, const at::Tensor& mask) const = 0;

 protected:
  // Error(shape) for a mask that an encoder has no use for.
  static void refuse_mask(const at::Tensor& mask) {
    if (mask.defined()) throw bad_shape("mask", "none, as this encoder attends to padding, too", mask.sizes());
  }
};

}  // namespace eam::nn
