#include "nn/autoencoder_kl/autoencoder_kl.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/silu.h>

#include <string>

#include "nn/layers/checks.h"

namespace eam::nn {

namespace {

const std::vector<int64_t>& decoder_channels(const AutoencoderKlConfig& config) {
  return config.decoder_block_out_channels ? *config.decoder_block_out_channels : config.block_out_channels;
}

AutoencoderKlConfig validated(const AutoencoderKlConfig& config) {
  constexpr size_t most_levels = 16;
  const size_t levels = config.block_out_channels.size();
  if (levels < 1 || levels > most_levels) {
    throw bad_value("blockOutChannels", "one number for each of 1 to 16 levels", levels);
  }
  const std::vector<int64_t>& decoder = decoder_channels(config);
  if (decoder.size() != levels) {
    throw bad_value("decoderBlockOutChannels", words(levels, " numbers, as many as blockOutChannels"), decoder.size());
  }
  for (const int64_t channels : config.block_out_channels) {
    check_multiple("blockOutChannels", channels, "normGroups", config.norm_groups);
  }
  for (const int64_t channels : decoder) {
    check_multiple("decoderBlockOutChannels", channels, "normGroups", config.norm_groups);
  }
  if (config.scaling_factor == 0) {
    throw bad_value("scalingFactor", "a number other than 0", config.scaling_factor);
  }
  return config;
}

std::vector<ResnetBlock> resnets(StoredWeights& weights, const std::string& name, int64_t count, int64_t in,
                                 int64_t out, int64_t groups) {
  std::vector<ResnetBlock> blocks;
  for (int64_t i = 0; i < count; ++i) {
    blocks.emplace_back(weights, name + ".resnets." + std::to_string(i), i == 0 ? in : out, out, groups);
  }
  return blocks;
}

}  // namespace

AutoencoderKl::Half AutoencoderKl::encoder(StoredWeights& weights, const AutoencoderKlConfig& config) {
  const std::vector<int64_t>& channels = config.block_out_channels;
  const int64_t groups = config.norm_groups, deepest = channels.back();
  std::vector<Level> levels;
  for (size_t i = 0; i < channels.size(); ++i) {
    const std::string name = "encoder.down_blocks." + std::to_string(i);
    Level level;
    level.resnets = resnets(weights, name, config.layers_per_block, channels[i == 0 ? 0 : i - 1], channels[i], groups);
    if (i + 1 < channels.size()) {
      level.resample.emplace(weights, name + ".downsamplers.0.conv", channels[i], channels[i], 3, 2);
    }
    levels.push_back(std::move(level));
  }
  return {Conv2d(weights, "encoder.conv_in", config.in_channels, channels[0], 3, 1, 1), std::move(levels),
          MidBlock(weights, "encoder.mid_block", deepest, groups, config.mid_block_attention),
          GroupNorm(weights, "encoder.conv_norm_out", deepest, groups),
          Conv2d(weights, "encoder.conv_out", deepest, 2 * config.latent_channels, 3, 1, 1)};
}

// The levels from the coarsest; each has one resnet more than the encoder's.
AutoencoderKl::Half AutoencoderKl::decoder(StoredWeights& weights, const AutoencoderKlConfig& config) {
  const std::vector<int64_t> channels(decoder_channels(config).rbegin(), decoder_channels(config).rend());
  const int64_t groups = config.norm_groups;
  std::vector<Level> levels;
  for (size_t i = 0; i < channels.size(); ++i) {
    const std::string name = "decoder.up_blocks." + std::to_string(i);
    Level level;
    level.resnets =
        resnets(weights, name, config.layers_per_block + 1, channels[i == 0 ? 0 : i - 1], channels[i], groups);
    if (i + 1 < channels.size()) {
      level.resample.emplace(weights, name + ".upsamplers.0.conv", channels[i], channels[i], 3, 1, 1);
    }
    levels.push_back(std::move(level));
  }
  return {Conv2d(weights, "decoder.conv_in", config.latent_channels, channels[0], 3, 1, 1), std::move(levels),
          MidBlock(weights, "decoder.mid_block", channels[0], groups, config.mid_block_attention),
          GroupNorm(weights, "decoder.conv_norm_out", channels.back(), groups),
          Conv2d(weights, "decoder.conv_out", channels.back(), config.out_channels, 3, 1, 1)};
}

AutoencoderKl::AutoencoderKl(StoredWeights& weights, const AutoencoderKlConfig& config)
    : config_(validated(config)), encoder_(encoder(weights, config_)), decoder_(decoder(weights, config_)) {
  const int64_t latent = config.latent_channels;
  if (config.use_quant_conv) quant_.emplace(weights, "quant_conv", 2 * latent, 2 * latent, 1);
  if (config.use_post_quant_conv) post_quant_.emplace(weights, "post_quant_conv", latent, latent, 1);
  if (config.tf32) allow_tf32();
}

void AutoencoderKl::allow_tf32() {
  decoder_.in.allow_tf32();
  for (Level& level : decoder_.levels) {
    for (ResnetBlock& resnet : level.resnets) resnet.allow_tf32();
    if (level.resample) level.resample->allow_tf32();
  }
  decoder_.mid.allow_tf32();
  decoder_.out.allow_tf32();
  if (post_quant_) post_quant_->allow_tf32();
}

at::Tensor AutoencoderKl::decode(const at::Tensor& latents) const {
  check_grid("latents", latents, config_.latent_channels, 1, "the autoencoder", device());
  at::Tensor h = (latents / config_.scaling_factor + config_.shift_factor).to(decoder_.in.dtype());
  if (post_quant_) h = post_quant_->forward(h);
  h = decoder_.mid.forward(decoder_.in.forward(h));
  for (const Level& level : decoder_.levels) {
    for (const ResnetBlock& resnet : level.resnets) h = resnet.forward(h);
    if (level.resample) h = upsample(*level.resample, h);
  }
  const at::Tensor sample = decoder_.out.forward(at::silu(decoder_.norm.forward(h)));
  return sample.to(latents.scalar_type()) * 0.5 + 0.5;
}

at::Tensor AutoencoderKl::encode(const at::Tensor& images) const {
  check_grid("images", images, config_.in_channels, downscale(), "the autoencoder", device());
  at::Tensor h = encoder_.in.forward((images * 2 - 1).to(encoder_.in.dtype()));
  for (const Level& level : encoder_.levels) {
    for (const ResnetBlock& resnet : level.resnets) h = resnet.forward(h);
    if (level.resample) h = downsample(*level.resample, h);
  }
  h = encoder_.out.forward(at::silu(encoder_.norm.forward(encoder_.mid.forward(h))));
  if (quant_) h = quant_->forward(h);
  const at::Tensor mean = h.narrow(1, 0, config_.latent_channels).to(images.scalar_type());
  return (mean - config_.shift_factor) * config_.scaling_factor;
}

}  // namespace eam::nn
