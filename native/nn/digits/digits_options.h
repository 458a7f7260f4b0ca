#pragma once

#include <cstdint>
#include <vector>

#include "ops/options.h"

namespace eam::nn {

struct DigitsModelConfig {
  int64_t image_size = 28;  // pixels, a multiple of patch_size
  int64_t channels = 1;
  int64_t patch_size = 4;
  int64_t width = 128;  // a multiple of heads and of 4
  int64_t depth = 6;
  int64_t heads = 4;
  double mlp_ratio = 4;
  int64_t classes = 10;           // label `classes` is the null class of classifier-free guidance
  double latent_variance = 0.38;  // of MNIST's pixels, scaled to [−1, 1]

  static const OptionTable& table();
};

struct DigitClassifierConfig {
  int64_t image_size = 28;
  int64_t channels = 1;
  std::vector<int64_t> widths = {16, 32, 64};  // of the convolutions, each of which halves the image
  int64_t features = 64;
  int64_t classes = 10;

  static const OptionTable& table();
};

}  // namespace eam::nn
