#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "algorithms/ode_solver.h"
#include "ops/cancellation.h"
#include "ops/flow_model.h"

namespace eam {

struct SamplerOptions {
  SolverKind solver = SolverKind::heun;
  std::vector<double> times;  // strictly increasing in [0, 1]; the result is at the last one
  double guidance = 1;        // g of u + g (c − u); without an unconditional conditioning it must be 1
  bool pretrained = false;    // the adapters off
  int64_t micro_batch = 0;    // samples a network evaluation; 0: all at once
};

// The noise that sample b starts from has the stream (step, first_sample + b, initial_noise) of `seed`: a sample does
// not depend on the batch it was drawn in.
struct NoiseOrigin {
  uint64_t seed = 0, step = 0;
  int64_t first_sample = 0;
};

struct Samples {
  at::Tensor latents;  // float32, at the last time
  int64_t forwards;    // network evaluations, one a sample: a guided step of B samples counts 2B
};

// Solves the model's ODE from noise of shape [B, …], without autograd. The conditioning has B rows, or one for all.
Samples sample(FlowModel& model, const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
               at::IntArrayRef shape, const SamplerOptions& options, const NoiseOrigin& origin,
               const Cancellation& cancellation);

}  // namespace eam
