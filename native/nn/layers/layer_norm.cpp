#include "nn/layers/layer_norm.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/layer_norm.h>

namespace eam::nn {

LayerNorm::LayerNorm(StoredWeights& weights, const std::string& name, int64_t width, double epsilon)
    : weight_(weights.take(name + ".weight", {width})),
      bias_(weights.take(name + ".bias", {width})),
      epsilon_(epsilon) {}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  return at::layer_norm(x, {x.size(-1)}, weight_, bias_, epsilon_);
}

}  // namespace eam::nn
