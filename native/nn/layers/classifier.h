#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "ops/flow_model.h"

namespace eam::nn {

// A differentiable classifier of images [B, channels, H, W] in [0, 1], which can be trained.
class Classifier {
 public:
  virtual ~Classifier() = default;

  struct Reading {
    std::vector<float> values;       // log p(label | image), [B]
    at::Tensor grad;                 // ∂(Σ values)/∂images where wanted
    std::vector<int32_t> predicted;  // the likeliest class of each image
    at::Tensor features;             // [B, features], the activations before the last layer
  };
  virtual Reading log_probability(const at::Tensor& images, const std::vector<int64_t>& labels,
                                  bool want_grad) const = 0;

  struct Step {
    double loss;      // mean cross-entropy with smoothed labels
    int64_t correct;  // images whose likeliest class is their label
  };
  // Adds the gradients of the loss to the weights' .grad. label_smoothing is in [0, 1).
  virtual Step accumulate(const at::Tensor& images, const std::vector<int64_t>& labels,
                          double label_smoothing) const = 0;

  virtual NamedTensors weights() const = 0;
};

}  // namespace eam::nn
