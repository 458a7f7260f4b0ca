#pragma once

#include <cstdint>
#include <vector>

#include "nn/digits/digits_options.h"
#include "nn/layers/classifier.h"
#include "nn/layers/parameters.h"
#include "ops/flow_model.h"

namespace eam::nn {

// A small convolutional classifier of images [B, channels, image_size, image_size] in [0, 1].
class DigitClassifier final : public Classifier {
 public:
  DigitClassifier(const DigitClassifierConfig& config, uint64_t seed, at::Device device);

  Reading log_probability(const at::Tensor& images, const std::vector<int64_t>& labels, bool want_grad) const override;
  Step accumulate(const at::Tensor& images, const std::vector<int64_t>& labels, double label_smoothing) const override;
  NamedTensors weights() const override { return parameters_.named(); }

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
