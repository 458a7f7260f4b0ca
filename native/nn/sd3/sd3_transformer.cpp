#include "nn/sd3/sd3_transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/silu.h>

#include <algorithm>
#include <string>

#include "nn/layers/checkpointing.h"
#include "nn/layers/linear_map.h"
#include "nn/layers/modulation.h"
#include "nn/layers/trained.h"
#include "ops/error.h"

namespace eam::nn {

namespace {

constexpr int64_t frequency_channels = 256;  // of the sinusoidal time embedding

int64_t patch_values(const Sd3TransformerConfig& config) {
  return config.in_channels * config.patch_size * config.patch_size;
}

int64_t width_of(const Sd3TransformerConfig& config) {
  return config.heads * config.head_dim;
}

std::string block_prefix(size_t index) {
  return "transformer_blocks." + std::to_string(index) + ".";
}

// How the sizes have to go together.
const Sd3TransformerConfig& validated(const Sd3TransformerConfig& config) {
  const auto require = [](bool valid, const char* name, const std::string& expected, int64_t found) {
    if (!valid) throw bad_value(name, expected, found);
  };
  require(config.out_channels == config.in_channels, "outChannels",
          words("inChannels, ", config.in_channels, ": a velocity has the shape of its latent"), config.out_channels);
  require(config.caption_projection_dim == width_of(config), "captionProjectionDim",
          words("heads · headDim, ", width_of(config)), config.caption_projection_dim);
  for (const int64_t layer : config.dual_attention_layers) {
    require(layer < config.layers, "dualAttentionLayers", words("layers from 0 to ", config.layers - 1), layer);
  }
  return config;
}

}  // namespace

Sd3Transformer::Sd3Transformer(const Sd3TransformerConfig& config, StoredWeights weights,
                               const std::optional<LoraConfig>& lora, bool checkpointing)
    : config_(validated(config)),
      adapted_(lora.has_value()),
      checkpointing_(checkpointing),
      waves_(frequency_channels, weights.device()),
      patch_weight_(weights.take("pos_embed.proj.weight",
                                 {width_of(config), config.in_channels, config.patch_size, config.patch_size})),
      patch_bias_(weights.take("pos_embed.proj.bias", {width_of(config)})),
      positions_(weights.take("pos_embed.pos_embed",
                              {1, config.pos_embed_max_size * config.pos_embed_max_size, width_of(config)})),
      time_in_(weights, "time_text_embed.timestep_embedder.linear_1", frequency_channels, width_of(config)),
      time_out_(weights, "time_text_embed.timestep_embedder.linear_2", width_of(config), width_of(config)),
      pooled_in_(weights, "time_text_embed.text_embedder.linear_1", config.pooled_projection_dim, width_of(config)),
      pooled_out_(weights, "time_text_embed.text_embedder.linear_2", width_of(config), width_of(config)),
      context_in_(weights, "context_embedder", config.joint_attention_dim, width_of(config)),
      final_modulation_(weights, "norm_out.linear", width_of(config), 2 * width_of(config)),
      final_linear_(weights, "proj_out", width_of(config), patch_values(config)) {
  const auto& dual = config.dual_attention_layers;
  blocks_.reserve(config.layers);
  for (int64_t i = 0; i < config.layers; ++i) {
    const bool is_dual = std::find(dual.begin(), dual.end(), i) != dual.end();
    blocks_.push_back({Sd3Block(weights, block_prefix(i), config.heads, config.head_dim, config.qk_norm, is_dual,
                                i == config.layers - 1),
                       {}});
  }
  weights.finish();

  layers_.add({&time_in_, &time_out_, &pooled_in_, &pooled_out_, &context_in_});
  for (Block& block : blocks_) {
    block.block.list(layers_);
    for (Linear* modulation : block.block.modulations()) modulated_.push_back(modulation);
  }
  layers_.add({&final_modulation_, &final_linear_});
  modulated_.push_back(&final_modulation_);
  layers_.add_joint(modulation_, modulated_);
  adaptable_ = names_of(layers_.all());
  if (lora) layers_.join(weights);
  weights_ = weights.taken();
  trainable_ =
      train(layers_.all(), weights, lora, [](const std::string& name) { return name == "pos_embed.pos_embed"; });
  for (size_t i = 0; i < blocks_.size(); ++i) blocks_[i].trainable = tensors_under(trainable_, block_prefix(i));
}

// SiLU of the embedding of time and pooled text: every modulation takes it so.
at::Tensor Sd3Transformer::condition(const at::Tensor& timesteps, const at::Tensor& pooled, bool adapted) const {
  const at::Tensor waves = waves_.forward(timesteps, pooled.scalar_type());
  const at::Tensor time = time_out_.forward(at::silu(time_in_.forward(waves, adapted)), adapted);
  return at::silu(time + pooled_out_.forward(at::silu(pooled_in_.forward(pooled, adapted)), adapted));
}

// A convolution whose stride is its kernel, as one product.
at::Tensor Sd3Transformer::patches(const at::Tensor& latents) const {
  const int64_t p = config_.patch_size, rows = latents.size(2) / p, columns = latents.size(3) / p;
  const at::Tensor values = latents.reshape({latents.size(0), config_.in_channels, rows, p, columns, p})
                                .permute({0, 2, 4, 1, 3, 5})
                                .reshape({latents.size(0), rows * columns, patch_values(config_)});
  return linear_map(values, patch_weight_.flatten(1), patch_bias_) + positions(rows, columns);
}

// The middle of the table.
at::Tensor Sd3Transformer::positions(int64_t rows, int64_t columns) const {
  const int64_t size = config_.pos_embed_max_size;
  return positions_.view({size, size, -1})
      .narrow(0, (size - rows) / 2, rows)
      .narrow(1, (size - columns) / 2, columns)
      .reshape({rows * columns, -1});
}

std::vector<at::Tensor> Sd3Transformer::run(const Block& block, const std::vector<at::Tensor>& streams,
                                            bool adapted) const {
  const Segment segment = [&block = block.block, adapted](const std::vector<at::Tensor>& in) {
    const std::vector<at::Tensor> by = block.modulate_by(in[2], adapted);
    return block.forward(in[0], in[1], by[0], by[1], adapted);
  };
  if (!checkpointing_) return segment(streams);
  return checkpoint(segment, streams, adapted || !adapted_ ? block.trainable : std::vector<at::Tensor>{});
}

// Computes the modulations of every block and of the end in one product.
std::vector<at::Tensor> Sd3Transformer::modulations(const at::Tensor& condition, bool adapted) const {
  return modulation_.forward({modulated_.begin(), modulated_.end()}, condition, adapted);
}

at::Tensor Sd3Transformer::forward(const at::Tensor& latents, const at::Tensor& timesteps, const at::Tensor& embeddings,
                                   const at::Tensor& pooled, bool adapted) const {
  const at::Tensor condition = this->condition(timesteps, pooled, adapted);
  at::Tensor image = patches(latents), context = context_in_.forward(embeddings, adapted);
  // Where gradients are recorded each block has its own, which checkpointing computes again with it.
  const std::vector<at::Tensor> by =
      at::GradMode::is_enabled() ? std::vector<at::Tensor>{} : modulations(condition, adapted);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const std::vector<at::Tensor> streams =
        by.empty() ? run(blocks_[i], {image, context, condition}, adapted)
                   : blocks_[i].block.forward(image, context, by[2 * i], by[2 * i + 1], adapted);
    image = streams[0];
    if (streams.size() > 1) context = streams[1];
  }
  const auto parts = (by.empty() ? final_modulation_.forward(condition, adapted) : by.back()).unsqueeze(1).chunk(2, 2);
  const Modulation modulation = {.shift = parts[1], .scale = parts[0], .gate = {}};
  const int64_t p = config_.patch_size;
  return final_linear_.forward(modulate(layer_norm(image, Sd3Block::norm_epsilon), modulation), adapted)
      .view({latents.size(0), latents.size(2) / p, latents.size(3) / p, p, p, config_.out_channels})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape(latents.sizes());
}

}  // namespace eam::nn
