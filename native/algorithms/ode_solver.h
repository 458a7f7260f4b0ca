#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "algorithms/solver_options.h"
#include "ops/ops.h"

namespace eam {

// steps + 1 times from 0 to `last`. With shift s (arXiv 2403.03206, eq. 23) σ = 1 − t is s u/(1 + (s − 1) u) of equally
// spaced u: above 1 more steps are taken near noise; 1: equally spaced times.
std::vector<double> shifted_times(int steps, double last, double shift);

// A deterministic few-step solver as a state machine: it asks for one velocity at a time, so the same code serves
// the native algorithms and a velocity written in JavaScript.
//
//   OdeSolver solver(kind, times);            // times strictly increasing in [0, 1], at least two
//   solver.start(x0);
//   while (!solver.done()) solver.advance(velocity(solver.x(), solver.t()));
//   at::Tensor x1 = solver.x();
//
// euler: one evaluation a step. heun: two, except an Euler step where the step ends at t = 1. midpoint: two,
// the second at t + h/2. dpmpp2m: DPM-Solver++(2M) (arXiv 2211.01095) on the data prediction d = x + (1−t)v with
// half log-SNR log(t/(1−t)); first-order on the first step, on the one after a step from t = 0 and on one that ends at
// t = 1.
class OdeSolver {
 public:
  OdeSolver(SolverKind kind, std::vector<double> times);

  void start(at::Tensor x0);
  bool done() const;            // also before start
  const at::Tensor& x() const;  // where the velocity is wanted; the result once done
  double t() const;             // the time at which it is wanted
  int64_t steps_done() const { return static_cast<int64_t>(index_); }

  // unconditional: classifier-free guidance u + g (c − u), combined inside the same pass over memory.
  void advance(const at::Tensor& velocity, const std::optional<at::Tensor>& unconditional = std::nullopt,
               double guidance = 1);

  // Gives this solver with some of its samples alone, in this order. Error(config) between the evaluations of a step.
  OdeSolver with_rows(const std::vector<int64_t>& rows) const;

 private:
  using Terms = std::vector<ops::Term>;

  bool has_second_stage() const;
  void finish_step(at::Tensor x);
  void multistep(const Terms& velocity, double t, double next);

  SolverKind kind_;
  std::vector<double> times_;
  size_t index_;           // of the current step's start; past the last step when done
  at::Tensor x_;           // where the velocity is wanted
  at::Tensor step_start_;  // the state at times_[index_], while x_ is an intermediate point
  Terms first_;            // heun: the velocity at the step's start
  at::Tensor data_;        // dpmpp2m: the previous step's data prediction
};

}  // namespace eam
