#include "nn/rewards/blip_reward.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include "ops/error.h"

namespace eam::nn {

namespace {

ImagePreprocess preprocess_of(const BlipRewardConfig& config) {
  ImagePreprocessConfig preprocess = config.preprocess;
  if (preprocess.size != config.vision.image_size) {
    throw bad_value("preprocess.size", words("the image encoder's size, ", config.vision.image_size), preprocess.size);
  }
  preprocess.middle = ImagePreprocessConfig::Middle::even;
  return ImagePreprocess(std::move(preprocess), 3);
}

// What BLIP's pretraining (arXiv 2201.12086) has beside the two encoders: projections for contrasting features, the
// matching head, the text decoder, the pooler, and the momentum copies with their queues.
constexpr const char* unused[] = {"blip.vision_proj",
                                  "blip.text_proj",
                                  "blip.itm_head.",
                                  "blip.text_decoder.",
                                  "blip.text_encoder.pooler.",
                                  "blip.text_encoder_m",
                                  "blip.visual_encoder_m",
                                  "blip.image_queue",
                                  "blip.text_queue",
                                  "blip.queue_ptr",
                                  "blip.temp"};

}  // namespace

BlipReward::BlipReward(const BlipRewardConfig& config, const NamedTensors& tensors, std::optional<at::ScalarType> dtype,
                       at::Device device)
    : ImageReward(preprocess_of(config)), device_(device), mean_(config.mean), std_(config.std) {
  if (config.text.encoder_width != config.vision.width) {
    throw bad_value("text.encoderWidth", words("vision.width, ", config.vision.width), config.text.encoder_width);
  }
  NamedTensors encoders, head;
  for (const auto& entry : tensors) (entry.first.starts_with("mlp.") ? head : encoders).push_back(entry);

  StoredWeights blip("BLIP model", std::move(encoders), dtype, device);
  vision_ = std::make_unique<BlipVision>(blip, "blip.visual_encoder", config.vision);
  text_ = std::make_unique<Bert>(blip, "blip.text_encoder", config.text);
  for (const char* prefix : unused) blip.ignore_prefix(prefix);
  blip.finish();
  precision_ = at::promoteTypes(blip.taken().front().second.scalar_type(), at::kFloat);

  StoredWeights stack("reward's head", std::move(head), precision_, device);
  head_ = std::make_unique<LinearStack>(stack, "mlp.layers", config.text.width);
  stack.finish();
}

at::Tensor BlipReward::values(const at::Tensor& encoded, const at::Tensor& ids, const at::Tensor& mask) const {
  const at::Tensor states = text_->forward(ids, mask, encoded);
  return (head_->forward(states.select(1, 0).to(precision_)) - mean_) / std_;
}

}  // namespace eam::nn
