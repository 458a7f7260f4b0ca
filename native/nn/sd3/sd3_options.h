#pragma once

#include <cstdint>
#include <vector>

#include "ops/options.h"

namespace eam::nn {

struct Sd3TransformerConfig {
  int64_t patch_size = 2;
  int64_t in_channels = 16;
  int64_t out_channels = 16;
  int64_t layers = 24;
  int64_t heads = 24;
  int64_t head_dim = 64;
  int64_t joint_attention_dim = 4096;     // of the prompt's embeddings
  int64_t caption_projection_dim = 1536;  // what they are projected to: heads · head_dim
  int64_t pooled_projection_dim = 2048;
  int64_t pos_embed_max_size = 384;  // side, in patches, of the stored table of positions
  std::vector<int64_t> dual_attention_layers;
  bool qk_norm = true;

  static const OptionTable& table();
};

}  // namespace eam::nn
