#pragma once

#include <optional>

#include "algorithms/reward_options.h"

namespace eam {

struct AdjointMatchingOptions : RewardOptions {
  int steps = 20;
  int drawn_steps = 10;
  double final_fraction = 0.25;
  std::optional<double> cap;

  static const OptionTable& table();
};

}  // namespace eam
