#pragma once

#include <optional>

#include "ops/options.h"

namespace eam {

// What every reward fine-tuning algorithm is told.
struct RewardOptions {
  double lambda = 1;
  double guidance = 1;
  int micro_batch = 0;               // 0: all samples at once
  std::optional<int> rollout_batch;  // none: as micro_batch; 0: all rows at once
  std::optional<int> decode_slice;   // none or 0: all; see Rollout::Decoding
  double reward_gradient_quantile = 1;

  static const OptionTable& table();
};

}  // namespace eam
