#include "nn/layers/modulation.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/layer_norm.h>

namespace eam::nn {

at::Tensor layer_norm(const at::Tensor& tokens, double epsilon) {
  return at::layer_norm(tokens, {tokens.size(-1)}, {}, {}, epsilon);
}

at::Tensor modulate(const at::Tensor& normed, const Modulation& by) {
  return at::addcmul(by.shift, normed, by.scale + 1);
}

}  // namespace eam::nn
