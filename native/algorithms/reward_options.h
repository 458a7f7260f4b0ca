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
  int decode_slice = 0;              // 0: off; see Rollout::Part
  double reward_gradient_quantile = 1;

  static const OptionTable& table();
};

}  // namespace eam
