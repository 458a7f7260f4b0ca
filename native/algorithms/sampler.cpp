#include "algorithms/sampler.h"

#include <sstream>

#include "algorithms/batch.h"
#include "ops/error.h"

namespace eam {

Samples sample(FlowModel& model, const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
               at::IntArrayRef shape, const SamplerOptions& options, const NoiseOrigin& origin,
               const Cancellation& cancellation) {
  if (shape.size() < 2 || shape[0] < 1) {
    std::ostringstream message;
    message << "shape is " << shape << ", expected [B, …] with at least one sample";
    throw Error(ErrorKind::shape, message.str());
  }
  if (conditioning.empty()) throw Error(ErrorKind::shape, "conditioning is empty, expected at least one tensor");
  const bool guided = options.guidance != 1;
  if (guided && !unconditional) {
    throw Error(ErrorKind::config, "guidance is " + std::to_string(options.guidance) +
                                       ", which needs an unconditional conditioning; give one or set guidance to 1");
  }
  const int64_t batch = shape[0];
  const Conditioning rows = expand(conditioning, batch, "conditioning");
  const Conditioning unconditional_rows = guided ? expand(*unconditional, batch, "unconditional") : Conditioning{};

  Evaluator velocity(model, options.pretrained, options.micro_batch, cancellation);
  OdeSolver solver(options.solver, options.times);
  solver.start(ops::philox_normal(
      shape, streams(origin.seed, origin.step, origin.first_sample, batch, Purpose::initial_noise), at::kFloat,
      conditioning[0].device()));
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
