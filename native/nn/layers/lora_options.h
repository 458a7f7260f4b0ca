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
  bool fold = true;  // where no gradient is recorded, see nn/layers/fold.h

  static const OptionTable& table();
};

}  // namespace eam::nn
