#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nn/layers/lora_options.h"
#include "nn/layers/parameters.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// A linear layer NAME.weight [out, in], NAME.bias [out], with an optional adapter NAME.lora_A.weight [rank, in],
// NAME.lora_B.weight [out, rank]. The adapter is switched by each call, so that one set of weights serves the
// pretrained and the fine-tuned network.
class Linear {
 public:
  // Normal weights, 0: all zero; the bias starts at zero.
  Linear(Parameters& parameters, std::string name, int64_t in, int64_t out, double standard_deviation);

  // Takes a published network's weights; bias: whether the layer has one.
  Linear(StoredWeights& weights, std::string name, int64_t in, int64_t out, bool bias = true);

  // A ~ N(0, 1/in), B = 0: the adapted layer starts equal to the layer itself.
  void adapt(Parameters& adapters, int64_t rank, double alpha);

  // Adds the adapter's update to a copy of the weights, in `into` [out, in] or in memory of its own. Until unfold(),
  // forward takes that copy where no gradient is recorded.
  void fold(at::Tensor into = {});
  void unfold() { folded_.reset(); }

  // x [..., in] to [..., out]. The adapter, kept in float32, is applied in x's dtype.
  at::Tensor forward(const at::Tensor& x, bool adapted) const;

  // y + scale B A x in y's place, of y [..., out] whose gradient nobody asks for.
  void add_update(const at::Tensor& y, const at::Tensor& x) const;

  // Takes its weights from where they have been moved to.
  void move_to(at::Tensor weight) { weight_ = std::move(weight); }

  const std::string& name() const { return name_; }
  const at::Tensor& weight() const { return weight_; }
  const at::Tensor& bias() const { return bias_; }
  bool has_adapter() const { return lora_A_.defined(); }
  bool is_folded() const { return folded_.defined(); }

 private:
  std::string name_;
  at::Tensor weight_, bias_;
  at::Tensor lora_A_, lora_B_;
  double scale_ = 0;
  at::Tensor folded_;  // weight + scale B A, while the adapter is folded
};

std::vector<std::string> names_of(const std::vector<Linear*>& layers);

// Adapts every layer whose name ends in one of the targets. Error(config) for a target that fits no layer.
void adapt(const std::vector<Linear*>& layers, Parameters& adapters, const LoraConfig& config);

// weight [out, in] + scale B A, of A [rank, in] and B [out, rank]: computed in float64, rounded once to weight's dtype.
// Error(shape) names what does not fit.
at::Tensor merged(const at::Tensor& weight, const at::Tensor& lora_A, const at::Tensor& lora_B, double scale);

}  // namespace eam::nn
