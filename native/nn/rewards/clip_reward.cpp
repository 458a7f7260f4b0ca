#include "nn/rewards/clip_reward.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <string_view>

#include "nn/clip/open_clip_names.h"
#include "nn/layers/checks.h"
#include "ops/error.h"

namespace eam::nn {

namespace {

using Kind = ClipRewardConfig::Kind;

constexpr std::string_view head_prefix = "head.";  // of the linear stack's tensors, which come from a file of their own

ImagePreprocess preprocess_of(const ClipRewardConfig& config) {
  ImagePreprocessConfig preprocess = config.preprocess;
  if (preprocess.size != config.vision.image_size) {
    throw bad_value("preprocess.size", words("the image tower's size, ", config.vision.image_size), preprocess.size);
  }
  // The aesthetic predictor goes with OpenAI's own preprocessing.
  if (config.kind == Kind::linear_stack) preprocess.middle = ImagePreprocessConfig::Middle::even;
  return ImagePreprocess(std::move(preprocess), 3);
}

}  // namespace

ClipReward::ClipReward(const ClipRewardConfig& config, const NamedTensors& tensors, std::optional<at::ScalarType> dtype,
                       at::Device device)
    : ImageReward(preprocess_of(config)), device_(device) {
  const bool reads_text = config.kind != Kind::linear_stack;
  if (reads_text && !config.text) {
    throw bad_value("text", "a text encoder's sizes: this reward compares images with texts", "undefined");
  }
  const bool renamed = config.layout == ClipRewardConfig::Layout::open_clip;
  NamedTensors of_towers, of_head;
  for (const auto& [name, tensor] : tensors) {
    if (config.kind == Kind::linear_stack && name.starts_with(head_prefix)) {
      of_head.emplace_back(name.substr(head_prefix.size()), tensor);
    } else {
      of_towers.emplace_back(name, tensor);
    }
  }
  StoredWeights towers("CLIP model", renamed ? from_open_clip(of_towers) : of_towers, dtype, device,
                       renamed ? open_clip_name : StoredWeights::FileName());
  vision_ = std::make_unique<ClipVision>(towers, config.vision);
  if (reads_text) {
    text_ = std::make_unique<ClipText>(towers, *config.text);
  } else {
    for (const char* unused : {"text_model.", "text_projection."}) towers.ignore_prefix(unused);
  }
  towers.ignore("logit_scale");
  towers.finish();
  precision_ = at::promoteTypes(towers.taken().front().second.scalar_type(), at::kFloat);

  if (config.kind == Kind::linear_stack) {
    StoredWeights stack("linear stack", std::move(of_head), precision_, device);
    head_ = std::make_unique<LinearStack>(stack, "layers", config.vision.projection);
    stack.finish();
  }
  if (config.kind == Kind::scaled_cosine) {
    // Not from the towers: in half precision its exponential would be off by a percent.
    NamedTensors stored;
    for (const auto& [name, tensor] : of_towers) {
      if (name == "logit_scale") stored.emplace_back(name, tensor);
    }
    StoredWeights scale("CLIP model", std::move(stored), precision_, device);
    scale_ = scale.take("logit_scale", {}).exp();
    scale.finish();
  }
}

at::Tensor ClipReward::values(const at::Tensor& encoded, const at::Tensor& ids, const at::Tensor&) const {
  const at::Tensor image = unit_length(encoded.to(precision_));
  if (head_) return head_->forward(image);
  at::Tensor text;
  {
    at::NoGradGuard no_grad;
    text = unit_length(text_->forward(ids, {}).pooled.to(precision_));
  }
  const at::Tensor cosine = (image * text).sum(1);
  return scale_.defined() ? cosine * scale_ : cosine;
}

}  // namespace eam::nn
