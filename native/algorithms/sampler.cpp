#include "algorithms/sampler.h"

#include "algorithms/batch.h"
#include "algorithms/ode_solver.h"

namespace eam {

Samples sample(FlowModel& model, const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
               at::IntArrayRef shape, const SamplerOptions& options, const NoiseOrigin& origin,
               const Cancellation& cancellation) {
  checked(options, "sample");
  check_sampling(shape, conditioning, unconditional, options.guidance);
  const bool guided = options.guidance != 1;
  const int64_t batch = shape[0];
  const Conditioning rows = expand(conditioning, batch, "conditioning");
  const Conditioning unconditional_rows = guided ? expand(*unconditional, batch, "unconditional") : Conditioning{};

  Evaluator velocity(model, options.weights == SampledWeights::pretrained, options.micro_batch, cancellation);
  OdeSolver solver(options.solver, options.times);
  solver.start(ops::philox_normal(shape,
                                  streams(origin.seed, origin.step, origin.first_sample, batch, Purpose::initial_noise),
                                  at::kFloat, conditioning[0].device()));
  while (!solver.done()) {
    const at::Tensor x = solver.x();
    const double t = solver.t();
    const at::Tensor conditional = velocity(x, t, rows);
    if (guided) {
      solver.advance(conditional, velocity(x, t, unconditional_rows), options.guidance);
    } else {
      solver.advance(conditional);
    }
  }
  return {solver.x(), velocity.samples()};
}

}  // namespace eam
