#pragma once

#include <cstdint>
#include <vector>

#include "ops/options.h"

namespace eam::nn {

struct Qwen3EncoderConfig {
  int64_t vocabulary = 0;
  int64_t width = 0;
  int64_t intermediate = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t key_value_heads = 0;  // each is read by heads / key_value_heads heads of queries
  int64_t head_dim = 0;         // heads · head_dim need not be width
  double norm_epsilon = 1e-6;
  double rope_theta = 1e6;
  std::vector<int64_t> states;  // a state is read after each of these numbers of layers

  static const OptionTable& table();
};

}  // namespace eam::nn
