#include "nn/flux2/flux2_transformer.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/silu.h>

#include <numeric>

#include "nn/flux2/rotary.h"
#include "nn/layers/checks.h"
#include "nn/layers/modulation.h"
#include "nn/layers/trained.h"
#include "ops/error.h"

namespace eam::nn {

namespace {

std::string prefix_of(const char* list, size_t index) {
  return std::string(list) + "." + std::to_string(index) + ".";
}

constexpr char double_list[] = "transformer_blocks", single_list[] = "single_transformer_blocks";

// Refuses sizes that do not fit together.
const Flux2TransformerConfig& validated(const Flux2TransformerConfig& config) {
  constexpr size_t axes = 4;
  if (config.rope_axes.size() != axes) {
    throw bad_value("ropeAxes", "four numbers: of image, row, column and place in the text", config.rope_axes.size());
  }
  for (const int64_t channels : config.rope_axes) check_multiple("ropeAxes", channels, "the pairs that turn,", 2);
  const int64_t sum = std::accumulate(config.rope_axes.begin(), config.rope_axes.end(), int64_t{0});
  if (sum != config.head_dim) {
    throw bad_value("ropeAxes", words("numbers that add up to headDim, ", config.head_dim), sum);
  }
  check_multiple("timeChannels", config.time_channels, "cosine and sine,", 2);
  if (config.layers + config.single_layers < 1) throw bad_value("layers", "at least one block in all", 0);
  if (inner_of(config) < 1) {
    throw bad_value("mlpRatio", words("at least one number inside of a width of ", width_of(config)), config.mlp_ratio);
  }
  return config;
}

}  // namespace

Flux2Transformer::Flux2Transformer(const Flux2TransformerConfig& config, StoredWeights weights,
                                   const std::optional<LoraConfig>& lora, bool checkpointing)
    : config_(validated(config)),
      adapted_(lora.has_value()),
      checkpointing_(checkpointing),
      waves_(config.time_channels, weights.device()),
      time_in_(weights, "time_guidance_embed.timestep_embedder.linear_1", config.time_channels, width_of(config),
               /*bias=*/false),
      time_out_(weights, "time_guidance_embed.timestep_embedder.linear_2", width_of(config), width_of(config),
                /*bias=*/false),
      image_in_(weights, "x_embedder", config.in_channels, width_of(config), /*bias=*/false),
      context_in_(weights, "context_embedder", config.joint_attention_dim, width_of(config), /*bias=*/false),
      image_modulation_(weights, "double_stream_modulation_img.linear", width_of(config), 6 * width_of(config),
                        /*bias=*/false),
      context_modulation_(weights, "double_stream_modulation_txt.linear", width_of(config), 6 * width_of(config),
                          /*bias=*/false),
      single_modulation_(weights, "single_stream_modulation.linear", width_of(config), 3 * width_of(config),
                         /*bias=*/false),
      final_modulation_(weights, "norm_out.linear", width_of(config), 2 * width_of(config), /*bias=*/false),
      final_linear_(weights, "proj_out", width_of(config), config.in_channels, /*bias=*/false) {
  for (int64_t i = 0; i < config.layers; ++i) {
    double_blocks_.push_back({Flux2DoubleBlock(weights, prefix_of(double_list, i), config), {}});
  }
  for (int64_t i = 0; i < config.single_layers; ++i) {
    single_blocks_.push_back({Flux2SingleBlock(weights, prefix_of(single_list, i), config), {}});
  }
  weights.finish();

  layers_.add(
      {&time_in_, &time_out_, &image_in_, &context_in_, &image_modulation_, &context_modulation_, &single_modulation_});
  for (auto& block : double_blocks_) block.block.list(layers_);
  for (auto& block : single_blocks_) block.block.list(layers_);
  layers_.add({&final_modulation_, &final_linear_});
  layers_.add_joint(modulation_, {&image_modulation_, &context_modulation_, &single_modulation_, &final_modulation_});
  adaptable_ = names_of(layers_.all());
  if (lora) layers_.join(weights);
  weights_ = weights.taken();
  trainable_ = train(layers_.all(), weights, lora);
  for (size_t i = 0; i < double_blocks_.size(); ++i) {
    double_blocks_[i].trainable = tensors_under(trainable_, prefix_of(double_list, i));
  }
  for (size_t i = 0; i < single_blocks_.size(); ++i) {
    single_blocks_[i].trainable = tensors_under(trainable_, prefix_of(single_list, i));
  }
}

std::vector<at::Tensor> Flux2Transformer::run(const Segment& segment, const std::vector<at::Tensor>& inputs,
                                              const std::vector<at::Tensor>& trainable, bool adapted) const {
  if (!checkpointing_) return segment(inputs);
  return checkpoint(segment, inputs, adapted || !adapted_ ? trainable : std::vector<at::Tensor>{});
}

at::Tensor Flux2Transformer::forward(const at::Tensor& latents, const at::Tensor& timesteps,
                                     const at::Tensor& embeddings, bool adapted) const {
  const int64_t rows = latents.size(2), columns = latents.size(3), text = embeddings.size(1);
  const at::Tensor positions = rotary_positions(text, rows, columns, config_.rope_axes, config_.rope_theta,
                                                latents.scalar_type(), latents.device());

  // Every modulation reads the embedding of time after SiLU.
  const at::Tensor waves = waves_.forward(timesteps, latents.scalar_type());
  const at::Tensor condition = at::silu(time_out_.forward(at::silu(time_in_.forward(waves, adapted)), adapted));
  const std::vector<at::Tensor> by = modulation_.forward(
      {&image_modulation_, &context_modulation_, &single_modulation_, &final_modulation_}, condition, adapted);

  at::Tensor image = image_in_.forward(latents.flatten(2).transpose(1, 2), adapted);
  at::Tensor context = context_in_.forward(embeddings, adapted);
  for (const auto& [block, trainable] : double_blocks_) {
    const std::vector<at::Tensor> streams = run(
        [&block = block, positions, adapted](const std::vector<at::Tensor>& in) {
          return block.forward(in[0], in[1], in[2], in[3], positions, adapted);
        },
        {image, context, by[0], by[1]}, trainable, adapted);
    image = streams[0];
    context = streams[1];
  }

  at::Tensor tokens = at::cat({context, image}, 1);
  for (const auto& [block, trainable] : single_blocks_) {
    tokens = run(
        [&block = block, positions, adapted](const std::vector<at::Tensor>& in) {
          return std::vector<at::Tensor>{block.forward(in[0], in[1], positions, adapted)};
        },
        {tokens, by[2]}, trainable, adapted)[0];
  }

  const auto parts = by[3].unsqueeze(1).chunk(2, 2);
  const Modulation modulation = {.shift = parts[1], .scale = parts[0], .gate = {}};
  const at::Tensor last = tokens.narrow(1, text, rows * columns);
  return final_linear_.forward(modulate(layer_norm(last, config_.norm_epsilon), modulation), adapted)
      .transpose(1, 2)
      .reshape(latents.sizes());
}

}  // namespace eam::nn
