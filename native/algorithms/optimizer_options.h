#pragma once

#include <utility>

#include "ops/options.h"

namespace eam {

struct OptimizerOptions {
  std::pair<double, double> betas = {0.9, 0.99};
  double epsilon = 1e-8;
  double weight_decay = 0;
  double ema_decay = 0;  // 0: no averages are kept

  static const OptionTable& table();
};

}  // namespace eam
