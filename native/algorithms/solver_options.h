#pragma once

#include "ops/options.h"

namespace eam {

enum class SolverKind { euler, heun, midpoint, dpmpp2m };
const Choices& choices_of(SolverKind);

// The velocities that a solver asks for.
struct SolverCost {
  int per_step;       // for each step
  int fewer_at_data;  // that many fewer for a step that ends at t = 1
};
SolverCost cost_of(SolverKind kind);

}  // namespace eam
