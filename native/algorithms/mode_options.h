#pragma once

#include "ops/options.h"

namespace eam {

// Settings of the term that corrects mode weights (algorithms/modes.h).
struct ModeOptions {
  double gain = 8;
  double floor = -1;
  double ceiling = 4;
  bool normalise = false;
  int times = 3;

  static const OptionTable& table();
};

}  // namespace eam
