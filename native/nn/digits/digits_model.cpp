#include "nn/digits/digits_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>

#include <cmath>

#include "nn/layers/checks.h"
#include "ops/gelu.h"

namespace eam::nn {

namespace {

constexpr int64_t frequency_channels = 256;  // of the sinusoidal time embedding, as in DiT
constexpr double layer_norm_epsilon = 1e-6;
constexpr double label_deviation = 0.5;

DigitsModelConfig validated(const DigitsModelConfig& config) {
  check_multiple("imageSize", config.image_size, "patchSize", config.patch_size);
  check_multiple("width", config.width, "heads", config.heads);
  check_multiple("width", config.width, "the position embedding's", 4);
  if (config.mlp_ratio * static_cast<double>(config.width) < 1) {
    throw bad_value("mlpRatio", words("at least 1/width, 1/", config.width), config.mlp_ratio);
  }
  return config;
}

double xavier(int64_t in, int64_t out) {
  return std::sqrt(2.0 / static_cast<double>(in + out));
}

// Sine and cosine of the column, then of the row, of each patch: [n², width]. Frequencies run from 2 to 0.2 radians a
// patch: the usual base of 10⁴ leaves most channels constant over a grid of a few patches, and attention then takes
// about twice as many steps to find the neighbours.
at::Tensor sin_cos_positions(int64_t n, int64_t width) {
  const double quarter = static_cast<double>(width) / 4;
  const at::Tensor frequencies = at::exp(at::arange(width / 4, at::kDouble).mul(-std::log(10.0) / quarter)).mul(2);
  const auto embed = [&](const at::Tensor& position) {
    const at::Tensor angles = at::outer(position, frequencies);
    return at::cat({angles.sin(), angles.cos()}, 1);
  };
  const at::Tensor index = at::arange(n, at::kDouble);
  return at::cat({embed(index.repeat({n})), embed(index.repeat_interleave(n))}, 1);
}

// How the condition steers one part of a block, [B, 1, width] each.
struct Modulation {
  at::Tensor shift, scale;  // of the part's normalised input
  at::Tensor gate;          // of its output
};

// (1 + scale) ⊙ LayerNorm(x) + shift
at::Tensor modulate(const at::Tensor& x, const Modulation& by) {
  return at::addcmul(by.shift, at::layer_norm(x, {x.size(-1)}, {}, {}, layer_norm_epsilon), by.scale + 1);
}

}  // namespace

DigitsModel::DigitsModel(const DigitsModelConfig& config, uint64_t seed, const std::optional<LoraConfig>& lora,
                         at::ScalarType dtype, at::Device device)
    : config_(validated(config)),
      dtype_(dtype),
      device_(device),
      adapted_(lora.has_value()),
      parameters_(seed, dtype, device),
      adapters_(lora ? lora->seed : 0, at::kFloat, device),
      patch_embed_(parameters_, "patch_embed", config.channels * config.patch_size * config.patch_size, config.width,
                   xavier(config.channels * config.patch_size * config.patch_size, config.width)),
      time_fc1_(parameters_, "time_embed.fc1", frequency_channels, config.width,
                xavier(frequency_channels, config.width)),
      time_fc2_(parameters_, "time_embed.fc2", config.width, config.width, xavier(config.width, config.width)),
      label_embed_(parameters_.normal("label_embed.weight", {config.classes + 1, config.width}, label_deviation)),
      // adaLN-Zero: each block starts as the identity and the network's output as zero.
      final_modulation_(parameters_, "final.modulation", config.width, 2 * config.width, 0),
      final_linear_(parameters_, "final.linear", config.width, config.channels * config.patch_size * config.patch_size,
                    0) {
  const int64_t width = config.width;
  const auto hidden = static_cast<int64_t>(std::llround(config.mlp_ratio * static_cast<double>(width)));
  blocks_.reserve(config.depth);
  for (int64_t i = 0; i < config.depth; ++i) {
    const std::string name = "blocks." + std::to_string(i) + ".";
    blocks_.push_back({Linear(parameters_, name + "attn.qkv", width, 3 * width, xavier(width, 3 * width)),
                       Linear(parameters_, name + "attn.proj", width, width, xavier(width, width)),
                       Linear(parameters_, name + "mlp.fc1", width, hidden, xavier(width, hidden)),
                       Linear(parameters_, name + "mlp.fc2", hidden, width, xavier(hidden, width)),
                       Linear(parameters_, name + "modulation", width, 6 * width, 0)});
  }

  std::vector<Linear*> layers = {&patch_embed_, &time_fc1_, &time_fc2_, &final_modulation_, &final_linear_};
  for (Block& block : blocks_) {
    layers.insert(layers.end(), {&block.qkv, &block.projection, &block.fc1, &block.fc2, &block.modulation});
  }
  adaptable_ = names_of(layers);
  if (lora) {
    adapt(layers, adapters_, *lora);
    adapters_.require_grad(true);
  } else {
    parameters_.require_grad(true);
  }

  constexpr int64_t kPairs = frequency_channels / 2;
  frequencies_ =
      at::exp(at::arange(kPairs, at::kDouble).mul(-std::log(1e4) / static_cast<double>(kPairs))).to(device, at::kFloat);
  positions_ = sin_cos_positions(config.image_size / config.patch_size, width).to(device, dtype);
}

at::Tensor DigitsModel::velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) {
  return run(x, t, conditioning, true);
}

at::Tensor DigitsModel::pretrained_velocity(const at::Tensor& x, const at::Tensor& t,
                                            const Conditioning& conditioning) {
  return run(x, t, conditioning, false);
}

at::Tensor DigitsModel::images(const at::Tensor& latents) {
  return latents.mul(0.5).add(0.5);
}

NamedTensors DigitsModel::trainable() {
  return adapted_ ? adapters_.named() : parameters_.named();
}

NamedTensors DigitsModel::weights() {
  return parameters_.named();
}

void DigitsModel::check(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) const {
  const int64_t size = config_.image_size;
  if (x.dim() != 4 || x.size(1) != config_.channels || x.size(2) != size || x.size(3) != size) {
    throw bad_shape("x", words("shape [B, ", config_.channels, ", ", size, ", ", size, "]"), x.sizes());
  }
  const int64_t batch = x.size(0);
  if (batch == 0) throw bad_shape("x", "at least one sample", words("shape ", x.sizes()));
  if (t.dim() != 1 || t.size(0) != batch) {
    throw bad_shape("t", words("shape [", batch, "], one time a sample of x"), t.sizes());
  }
  if (conditioning.size() != 1) {
    throw bad_shape("conditioning", "one tensor, the labels [B]", conditioning.size());
  }
  const at::Tensor& labels = conditioning[0];
  if (labels.scalar_type() != at::kLong || labels.dim() != 1 || labels.size(0) != batch) {
    throw bad_shape("conditioning[0]", words("int64 labels [", batch, "]"),
                    words(labels.scalar_type(), " ", labels.sizes()));
  }
  // An index outside the table would abort a CUDA context, which no later call survives.
  const int64_t lowest = labels.min().item<int64_t>(), highest = labels.max().item<int64_t>();
  if (lowest < 0 || highest > config_.classes) {
    throw bad_shape("conditioning[0]",
                    words("labels from 0 to ", config_.classes - 1, ", or ", config_.classes, " for none"),
                    lowest < 0 ? lowest : highest);
  }
  check_device_of("x", x, "the model", device_);
  check_device_of("conditioning[0]", labels, "the model", device_);
}

at::Tensor DigitsModel::attention(const Block& block, const at::Tensor& x, bool adapted) const {
  const int64_t batch = x.size(0), tokens = x.size(1), width = x.size(2), heads = config_.heads;
  const auto qkv =
      block.qkv.forward(x, adapted).view({batch, tokens, 3, heads, width / heads}).permute({2, 0, 3, 1, 4}).unbind(0);
  const at::Tensor mixed = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]);
  return block.projection.forward(mixed.transpose(1, 2).reshape({batch, tokens, width}), adapted);
}

at::Tensor DigitsModel::run(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning,
                            bool adapted) const {
  check(x, t, conditioning);
  const int64_t batch = x.size(0), channels = config_.channels, patch = config_.patch_size;
  const int64_t n = config_.image_size / patch;

  const at::Tensor angles = at::outer(t.to(device_, at::kFloat).mul(1000), frequencies_);
  const at::Tensor waves = at::cat({angles.cos(), angles.sin()}, 1).to(dtype_);
  const at::Tensor time = time_fc2_.forward(at::silu(time_fc1_.forward(waves, adapted)), adapted);
  const at::Tensor condition = at::silu(time + at::embedding(label_embed_, conditioning[0]));

  const at::Tensor patches = x.to(dtype_)
                                 .reshape({batch, channels, n, patch, n, patch})
                                 .permute({0, 2, 4, 1, 3, 5})
                                 .reshape({batch, n * n, channels * patch * patch});
  at::Tensor h = patch_embed_.forward(patches, adapted) + positions_;
  for (const Block& block : blocks_) {
    // h ← h + gate ⊙ attention(modulated h),  h ← h + gate ⊙ W₂ gelu(W₁ modulated h)
    const auto parts = block.modulation.forward(condition, adapted).unsqueeze(1).chunk(6, 2);
    const Modulation mixing = {parts[0], parts[1], parts[2]}, feed_forward = {parts[3], parts[4], parts[5]};
    h = at::addcmul(h, mixing.gate, attention(block, modulate(h, mixing), adapted));
    const at::Tensor inner = ops::gelu_tanh(block.fc1.forward(modulate(h, feed_forward), adapted));
    h = at::addcmul(h, feed_forward.gate, block.fc2.forward(inner, adapted));
  }
  const auto parts = final_modulation_.forward(condition, adapted).unsqueeze(1).chunk(2, 2);
  const Modulation modulation = {.shift = parts[0], .scale = parts[1], .gate = {}};
  return final_linear_.forward(modulate(h, modulation), adapted)
      .view({batch, n, n, channels, patch, patch})
      .permute({0, 3, 1, 4, 2, 5})
      .reshape(x.sizes())
      .to(x.scalar_type());
}

}  // namespace eam::nn
