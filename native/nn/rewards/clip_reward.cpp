#include "nn/rewards/clip_reward.h"

#include <ATen/ATen.h>

#include "nn/clip/open_clip_names.h"
#include "nn/layers/checks.h"
#include "ops/error.h"

namespace eam::nn {

namespace {

using Kind = ClipRewardConfig::Kind;

ImagePreprocess preprocess_of(const ClipRewardConfig& config) {
  ImagePreprocessConfig preprocess = config.preprocess;
  if (preprocess.size != config.vision.image_size) {
    throw Error(ErrorKind::config, "preprocess.size is " + std::to_string(preprocess.size) +
                                       ", the image tower's size is " + std::to_string(config.vision.image_size));
  }
  // The aesthetic predictor goes with OpenAI's own preprocessing.
  if (config.kind == Kind::linear_stack) preprocess.middle = ImagePreprocessConfig::Middle::even;
  return ImagePreprocess(std::move(preprocess), 3);
}

}  // namespace

ClipReward::ClipReward(const ClipRewardConfig& config, const NamedTensors& tensors, const NamedTensors& head,
                       std::optional<at::ScalarType> dtype, at::Device device)
    : ImageReward(preprocess_of(config)), device_(device) {
  const bool reads_text = config.kind != Kind::linear_stack;
  if (reads_text && !config.text) {
    throw Error(ErrorKind::config, "text is missing: this reward compares images with texts");
  }
  const bool renamed = config.layout == ClipRewardConfig::Layout::open_clip;
  StoredWeights towers("CLIP model", renamed ? from_open_clip(tensors) : tensors, dtype, device,
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
    StoredWeights stack("linear stack", head, precision_, device);
    head_ = std::make_unique<LinearStack>(stack, "layers", config.vision.projection);
    stack.finish();
  }
  if (config.kind == Kind::scaled_cosine) {
    // Not from the towers: in half precision its exponential would be off by a percent.
    NamedTensors stored;
    for (const auto& [name, tensor] : tensors) {
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
    text = unit_length(text_->forward(ids).pooled.to(precision_));
  }
  const at::Tensor cosine = (image * text).sum(1);
  return scale_.defined() ? cosine * scale_ : cosine;
}

}  // namespace eam::nn
