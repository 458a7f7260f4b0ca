#pragma once

#include <cstdint>
#include <optional>

#include "ops/options.h"

namespace eam::nn {

enum class ClipActivation {
  gelu,        // exact: x Φ(x)
  quick_gelu,  // x sigmoid(1.702 x), OpenAI's own models
};
const Choices& choices_of(ClipActivation);

// What CLIP's two towers (arXiv 2103.00020) have in common.
struct ClipTowerConfig {
  int64_t width = 0;
  int64_t intermediate = 0;  // width inside a layer's feed-forward part
  int64_t layers = 0;
  int64_t heads = 0;
  ClipActivation activation = ClipActivation::gelu;
  double layer_norm_epsilon = 1e-5;
  int64_t projection = 0;  // width of the feature that both towers project to

  static const OptionTable& table();
};

struct ClipTextConfig : ClipTowerConfig {
  int64_t vocabulary = 0;
  int64_t positions = 0;             // of the longest text
  std::optional<int64_t> eos_token;  // whose first position is pooled; none: that of the largest id, as the first CLIP

  static const OptionTable& table();
};

struct ClipVisionConfig : ClipTowerConfig {
  int64_t image_size = 0;  // pixels, both sides
  int64_t patch_size = 0;

  static const OptionTable& table();
};

}  // namespace eam::nn
