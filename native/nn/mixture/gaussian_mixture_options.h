#pragma once

#include <cstdint>
#include <vector>

#include "ops/options.h"

namespace eam::nn {

struct GaussianMixtureConfig {
  std::vector<std::vector<double>> means;  // one a mode, all of one length d ≥ 1
  double std = 1;                          // of every mode in every dimension
  std::vector<double> weights;             // one a mode, above 0; normalised by the model
  int64_t width = 64;                      // of the control network's hidden layers
  int64_t depth = 2;                       // how many of them

  static const OptionTable& table();
};

}  // namespace eam::nn
