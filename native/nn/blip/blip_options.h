#pragma once

#include <cstdint>

#include "ops/options.h"

namespace eam::nn {

struct BlipVisionConfig {
  int64_t image_size = 0;  // pixels, both sides
  int64_t patch_size = 0;
  int64_t width = 0;
  int64_t intermediate = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  double layer_norm_epsilon = 1e-6;

  static const OptionTable& table();
};

struct BertConfig {
  int64_t vocabulary = 0;
  int64_t width = 0;
  int64_t intermediate = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t positions = 0;  // of the longest text
  double layer_norm_epsilon = 1e-12;
  int64_t encoder_width = 0;  // of the states that the cross-attention reads

  static const OptionTable& table();
};

}  // namespace eam::nn
