#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// Linear layers one after the other, PREFIX.N.{weight,bias}, whose numbers skip those of dropout: the heads that score
// a feature. There is nothing else between them.
class LinearStack {
 public:
  // Takes all layers that the weights have, from `in` features to one value; finish() reports those that do not fit.
  LinearStack(StoredWeights& weights, const std::string& prefix, int64_t in);

  // x [B, in] to [B].
  at::Tensor forward(const at::Tensor& x) const;

 private:
  std::vector<Linear> layers_;
};

}  // namespace eam::nn
