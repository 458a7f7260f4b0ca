#include "algorithms/solver_options.h"

namespace eam {

const Choices& choices_of(SolverKind) {
  static const Choices choices = {"SolverName",
                                  "A deterministic solver of an ordinary differential equation; {@link "
                                  "OdeSolverOptions} says what each costs.",
                                  {"euler", "heun", "midpoint", "dpmpp2m"}};
  return choices;
}

SolverCost cost_of(SolverKind kind) {
  switch (kind) {
    case SolverKind::heun:
      return {2, 1};
    case SolverKind::midpoint:
      return {2, 0};
    case SolverKind::euler:
    case SolverKind::dpmpp2m:
      break;
  }
  return {1, 0};
}

}  // namespace eam
