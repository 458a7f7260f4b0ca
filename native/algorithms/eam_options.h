#pragma once

#include <optional>

#include "algorithms/mode_options.h"
#include "algorithms/reward_options.h"
#include "algorithms/solver_options.h"
#include "ops/kernel_options.h"

namespace eam {

enum class Terminal { consistent, plugin };
const Choices& choices_of(Terminal);

// Whose endpoints are matched: the model's that is trained, or the pretrained model's.
enum class EndpointSource { current, pretrained };
const Choices& choices_of(EndpointSource);

struct EamOptions : RewardOptions {
  double C = 1;
  double delta = 0.1;
  Terminal terminal = Terminal::consistent;
  SolverKind solver = SolverKind::heun;
  int steps = 8;
  std::optional<double> shift;  // none: 1
  int renoisings = 4;
  ops::Weighting weighting = ops::Weighting::velocity;
  double cap = 20;
  bool reward_through_denoiser = false;
  bool guided_loss = false;
  std::optional<ModeOptions> modes;
  EndpointSource endpoints = EndpointSource::current;
  int endpoints_per_prompt = 1024;

  static const OptionTable& table();
};

}  // namespace eam
