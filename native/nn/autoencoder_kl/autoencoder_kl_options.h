#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ops/options.h"

namespace eam::nn {

struct AutoencoderKlConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  int64_t latent_channels = 4;
  std::vector<int64_t> block_out_channels;                         // of the levels, the finest first
  std::optional<std::vector<int64_t>> decoder_block_out_channels;  // of the decoder's; none: the same
  int64_t layers_per_block = 1;
  int64_t norm_groups = 32;
  bool mid_block_attention = true;
  bool use_quant_conv = true;
  bool use_post_quant_conv = true;
  double scaling_factor = 1;  // latents = (z − shift) · scaling
  double shift_factor = 0;
  bool tf32 = false;

  static const OptionTable& table();
};

}  // namespace eam::nn
