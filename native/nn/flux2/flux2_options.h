#pragma once

#include <cstdint>
#include <vector>

#include "nn/autoencoder_kl/autoencoder_kl_options.h"
#include "ops/options.h"

namespace eam::nn {

struct Flux2TransformerConfig {
  int64_t in_channels = 128;  // of a latent and of its velocity
  int64_t layers = 5;         // double-stream blocks
  int64_t single_layers = 20;
  int64_t heads = 24;
  int64_t head_dim = 128;
  int64_t joint_attention_dim = 7680;  // of the prompt's embeddings
  int64_t time_channels = 256;         // of the sinusoidal time embedding
  double mlp_ratio = 3;
  std::vector<int64_t> rope_axes;  // channels of a head that turn with image, row, column and token
  double rope_theta = 2000;
  double norm_epsilon = 1e-6;

  static const OptionTable& table();
};

struct Flux2AutoencoderConfig {
  AutoencoderKlConfig networks;      // on latents that are neither patched nor normalised
  int64_t patch_size = 2;            // side of the squares of these that are one latent
  double batch_norm_epsilon = 1e-4;  // added to the stored variances

  static const OptionTable& table();
};

}  // namespace eam::nn
