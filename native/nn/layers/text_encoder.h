#pragma once

#include <ATen/core/Tensor.h>

namespace eam::nn {

// A text encoder of a published model.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;

  struct Encoded {
    at::Tensor hidden;  // [B, L, width]: what a text-to-image model attends to
    at::Tensor pooled;  // [B, projection]: one feature a text; undefined where the encoder has none
  };
  // ids [B, L], of an integer type, moved to the weights' device. Error(shape) for ids that do not fit. The result is
  // of the weights' dtype.
  virtual Encoded forward(const at::Tensor& ids) const = 0;
};

}  // namespace eam::nn
