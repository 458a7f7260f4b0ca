#include "algorithms/sampler.h"

#include <utility>

#include "algorithms/batch.h"
#include "algorithms/ode_solver.h"
#include "algorithms/rollout_velocity.h"

namespace eam {

Samples sample(FlowModel& model, const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
               at::IntArrayRef shape, const SamplerOptions& options, const NoiseOrigin& origin,
               const Cancellation& cancellation) {
  checked(options, "sample");
  check_sampling(shape, conditioning, unconditional, options.guidance);
  const int64_t batch = shape[0];
  std::optional<Conditioning> unconditional_rows;
  if (options.guidance != 1) unconditional_rows = expand(*unconditional, batch, "unconditional");
  RolloutVelocity velocity(model, options.weights == SampledWeights::pretrained, options.micro_batch,
                           expand(conditioning, batch, "conditioning"), std::move(unconditional_rows), cancellation);
  OdeSolver solver(options.solver, options.times);
  solver.start(ops::philox_normal(shape,
                                  streams(origin.seed, origin.step, origin.first_sample, batch, Purpose::initial_noise),
                                  at::kFloat, conditioning[0].device()));
  while (!solver.done()) {
    const RolloutVelocity::Pair v = velocity(solver.x(), solver.t());
    solver.advance(v.conditional, v.unconditional, v.unconditional ? options.guidance : 1);
  }
  return {solver.x(), velocity.samples()};
}

}  // namespace eam
