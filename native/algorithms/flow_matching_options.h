#pragma once

#include "ops/options.h"

namespace eam {

enum class TimeDistribution { uniform, logit_normal };
const Choices& choices_of(TimeDistribution);

struct FlowMatchingOptions {
  double dropout = 0;
  TimeDistribution times = TimeDistribution::uniform;

  static const OptionTable& table();
};

}  // namespace eam
