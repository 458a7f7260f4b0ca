#pragma once

#include <optional>

#include "algorithms/reward_options.h"
#include "algorithms/solver_options.h"

namespace eam {

// What every algorithm that differentiates the reward through the rollout is told.
struct BackpropagationOptions : RewardOptions {
  SolverKind solver = SolverKind::euler;
  int steps = 20;
  std::optional<double> shift;  // none: 1

  static const OptionTable& table();
};

struct ReflOptions : BackpropagationOptions {
  double final_fraction = 0.25;

  static const OptionTable& table();
};

struct DraftOptions : BackpropagationOptions {
  int last_steps = 1;
  int renoisings = 0;

  static const OptionTable& table();
};

struct AlignPropOptions : BackpropagationOptions {
  int fewest_steps = 1;
  std::optional<int> most_steps;  // none: all

  static const OptionTable& table();
};

}  // namespace eam
