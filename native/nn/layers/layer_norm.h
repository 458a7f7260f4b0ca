#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "nn/layers/stored_weights.h"

namespace eam::nn {

// Layer normalisation over the last dimension, NAME.weight [width], NAME.bias [width]. Its statistics are in float32
// where x is of half precision.
class LayerNorm {
 public:
  LayerNorm(StoredWeights& weights, const std::string& name, int64_t width, double epsilon);

  at::Tensor forward(const at::Tensor& x) const;

 private:
  at::Tensor weight_, bias_;
  double epsilon_;
};

}  // namespace eam::nn
