#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops/options.h"

namespace eam::nn {

// Low-rank adapters (LoRA, arXiv 2106.09685): y = W x + b + (alpha/rank) B A x.
struct LoraConfig {
  int64_t rank = 8;
  double alpha = 16;
  std::vector<std::string> targets;  // suffixes of module names, at a dot: "attn.qkv"
  uint64_t seed = 0;

  static const OptionTable& table();
};

}  // namespace eam::nn
