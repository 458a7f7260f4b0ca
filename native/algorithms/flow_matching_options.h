#pragma once

#include "ops/options.h"

namespace eam {

enum class TimeDistribution { uniform, logit_normal };
const Choices& choices_of(TimeDistribution);

struct FlowMatchingOptions {
  double dropout = 0;
  TimeDistribution times = TimeDistribution::uniform;
  int times_each = 1;   // regressions a sample
  int micro_batch = 0;  // 0: all regressions at once

  static const OptionTable& table();
};

}  // namespace eam
