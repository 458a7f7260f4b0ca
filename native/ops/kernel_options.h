#pragma once

#include <cstdint>

#include "ops/options.h"

// What the kernels take beside their tensors. Each description lists the tensors, too: they are read by the addon.
namespace eam::ops {

enum class Weighting { velocity, adjoint_matching };
const Choices& choices_of(Weighting);

// How a velocity is regressed on the EAM target.
struct Matching {
  double C = 1;
  Weighting weighting = Weighting::velocity;
  double cap = 20;
  double terminal_time = 1;

  static const OptionTable& table();
};

struct PhiloxNormalOptions {
  uint64_t seed = 0;

  static const OptionTable& table();
};

struct RenoiseOptions {
  double terminal_time = 1;

  static const OptionTable& table();
};

struct TerminalGradientOptions {
  double lambda = 0, time = 0;

  static const OptionTable& table();
};

struct FlowMatchingLossOptions {
  static const OptionTable& table();
};

// The step from t to t + h of a stochastic rollout, and of its adjoint from t + h to t.
struct StepOptions {
  double t = 0, h = 0;
};
struct MemorylessStepOptions : StepOptions {
  static const OptionTable& table();
};
struct LeanAdjointStepOptions : StepOptions {
  static const OptionTable& table();
};

}  // namespace eam::ops
