#include "nn/layers/linear_stack.h"

namespace eam::nn {

LinearStack::LinearStack(StoredWeights& weights, const std::string& prefix, int64_t in) {
  constexpr int numbers = 32;
  const auto name_of = [&](int number) { return prefix + "." + std::to_string(number); };
  std::vector<int> found;
  for (int number = 0; number < numbers; ++number) {
    if (weights.has(name_of(number) + ".weight")) found.push_back(number);
  }
  if (found.empty()) found.push_back(0);  // reported as missing
  for (const int number : found) {
    const std::vector<int64_t> shape = weights.shape(name_of(number) + ".weight");
    const int64_t out = number == found.back() || shape.empty() ? 1 : shape[0];
    layers_.emplace_back(weights, name_of(number), in, out);
    in = out;
  }
}

at::Tensor LinearStack::forward(const at::Tensor& x) const {
  at::Tensor h = x;
  for (const Linear& layer : layers_) h = layer.forward(h, false);
  return h.squeeze(1);
}

}  // namespace eam::nn
