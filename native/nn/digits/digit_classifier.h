#pragma once

#include <cstdint>
#include <vector>

#include "nn/layers/parameters.h"
#include "ops/flow_model.h"

namespace eam::nn {

struct DigitClassifierConfig {
  int64_t image_size = 28;
  int64_t channels = 1;
  std::vector<int64_t> widths = {16, 32, 64};  // of the convolutions, each of which halves the image
  int64_t features = 64;
  int64_t classes = 10;
};

// A small convolutional classifier of images [B, channels, image_size, image_size] in [0, 1].
class DigitClassifier {
 public:
  DigitClassifier(const DigitClassifierConfig& config, uint64_t seed, at::Device device);

  struct Reading {
    std::vector<float> values;       // log p(label | image), [B]
    at::Tensor grad;                 // ∂(Σ values)/∂images where wanted
    std::vector<int32_t> predicted;  // the likeliest class of each image
    at::Tensor features;             // [B, features], the activations before the last layer
  };
  Reading log_probability(const at::Tensor& images, const std::vector<int64_t>& labels, bool want_grad) const;

  struct Step {
    double loss;      // mean cross-entropy with smoothed labels
    int64_t correct;  // images whose likeliest class is their label
  };
  // Adds the gradients of the loss to the weights' .grad. label_smoothing is in [0, 1).
  Step accumulate(const at::Tensor& images, const std::vector<int64_t>& labels, double label_smoothing) const;

  NamedTensors weights() const { return parameters_.named(); }

 private:
  struct Layer {
    at::Tensor weight, bias;
  };

  at::Tensor features(const at::Tensor& images) const;
  at::Tensor checked_labels(const at::Tensor& images, const std::vector<int64_t>& labels) const;
  Layer layer(const std::string& name, at::IntArrayRef shape, int64_t fan_in);

  const DigitClassifierConfig config_;
  const at::Device device_;
  Parameters parameters_;
  std::vector<Layer> convolutions_;
  Layer features_, head_;
};

}  // namespace eam::nn
