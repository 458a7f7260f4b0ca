#pragma once

#include <cstdint>
#include <vector>

#include "algorithms/solver_options.h"

namespace eam {

enum class SampledWeights { trained, pretrained };
const Choices& choices_of(SampledWeights);

struct SamplerOptions {
  SolverKind solver = SolverKind::heun;
  std::vector<double> times;
  double guidance = 1;
  SampledWeights weights = SampledWeights::trained;
  int64_t micro_batch = 0;  // rows a network evaluation, two of a guided sample; 0: all at once

  static const OptionTable& table();
};

}  // namespace eam
