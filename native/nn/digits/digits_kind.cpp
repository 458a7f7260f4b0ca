#include "nn/digits/digit_classifier.h"
#include "nn/digits/digits_model.h"
#include "nn/layers/network.h"
#include "ops/named_tensors.h"

namespace eam::nn {

namespace {

Network make_digits(const DigitsModelConfig& config, NetworkParts parts) {
  auto model = std::make_shared<DigitsModel>(config, parts.seed.value_or(0), parts.lora,
                                             parts.dtype.value_or(at::kFloat), parts.device);
  if (parts.weights) copy_named(model->weights(), *parts.weights, "the model's weights");
  return model;
}

NetworkLayout digits_layout(const DigitsModelConfig& config) {
  DigitsModel model(config, 0, std::nullopt, at::kFloat, at::kMeta);
  return {model.weights(), model.adaptable()};
}

Network make_classifier(const DigitClassifierConfig& config, NetworkParts parts) {
  auto classifier = std::make_shared<DigitClassifier>(config, parts.seed.value_or(0), parts.device);
  if (parts.weights) copy_named(classifier->weights(), *parts.weights, "the classifier's weights");
  return classifier;
}

NetworkLayout classifier_layout(const DigitClassifierConfig& config) {
  return {DigitClassifier(config, 0, at::kMeta).weights(), {}};
}

}  // namespace

extern const NetworkKind<DigitsModelConfig> digits;
constinit const NetworkKind<DigitsModelConfig> digits = {
    .takes = {.files = true, .seed = true, .dtype = true, .lora = true}, .make = make_digits, .layout = digits_layout};

extern const NetworkKind<DigitClassifierConfig> digit_classifier;
constinit const NetworkKind<DigitClassifierConfig> digit_classifier = {
    .takes = {.files = true, .seed = true}, .make = make_classifier, .layout = classifier_layout};

}  // namespace eam::nn
