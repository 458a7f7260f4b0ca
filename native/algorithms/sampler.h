#pragma once

#include <cstdint>
#include <optional>

#include "algorithms/sampler_options.h"
#include "ops/cancellation.h"
#include "ops/flow_model.h"

namespace eam {

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
