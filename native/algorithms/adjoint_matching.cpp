#include "algorithms/adjoint_matching.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "algorithms/batch.h"
#include "algorithms/regression.h"
#include "algorithms/rollout_velocity.h"
#include "ops/error.h"
#include "ops/stage.h"

namespace eam {

namespace {

int final_steps(const AdjointMatchingOptions& options) {
  // A product such as 0.1 · 30 is a rounding error above the whole number that was meant.
  return static_cast<int>(std::ceil(options.final_fraction * options.steps - 1e-9));
}

const AdjointMatchingOptions& validated(const AdjointMatchingOptions& options) {
  checked(options, "AdjointMatching");
  if (options.drawn_steps == 0 && final_steps(options) == 0) {
    throw bad_value("AdjointMatching: drawnSteps",
                    "at least 1 where finalFraction is 0, since no step would enter the loss", 0);
  }
  return options;
}

at::Tensor times(double t, const at::Tensor& x) {
  return at::full({x.size(0)}, t, at::device(x.device()).dtype(at::kFloat));
}

// Terms that reach the cap count as the cap and give no gradient.
void apply_cap(ops::Loss& loss, float cap) {
  std::vector<double> kept;
  bool any = false;
  for (float& term : loss.per_sample) {
    const bool reached = term >= cap;
    any = any || reached;
    kept.push_back(reached ? 0 : 1);
    if (reached) term = cap;
  }
  if (any) loss.grad = ops::affine({{loss.grad, kept}});
}

}  // namespace

struct AdjointMatching::Trajectory final : Rollout {
  Trajectory(Origin origin, std::vector<at::Tensor> visited, at::Tensor endpoint, Decoding decoding, int64_t forwards)
      : Rollout(std::move(origin), std::move(endpoint), std::move(decoding), forwards), states(std::move(visited)) {}

  const std::vector<at::Tensor> states;  // x at the K + 1 times
};

AdjointMatching::AdjointMatching(FlowModel& model, const AdjointMatchingOptions& options)
    : RewardAlgorithm("Adjoint Matching matches against", model, validated(options)), options_(options) {}

std::unique_ptr<Rollout> AdjointMatching::rollout(const Conditioning& conditioning,
                                                  const std::optional<Conditioning>& unconditional,
                                                  at::IntArrayRef shape, uint64_t seed, uint64_t step,
                                                  bool differentiable, const Cancellation& cancellation) {
  require_gradient("Adjoint Matching", differentiable);
  check_sampling(shape, conditioning, unconditional, options_.guidance);
  check_stream_count(shape, options_.steps, "steps");
  const int64_t batch = shape[0], steps = options_.steps;
  std::vector<ops::Noise> noise;
  for (int64_t k = 0; k < steps; ++k) {
    std::vector<uint64_t> streams(batch);
    for (int64_t b = 0; b < batch; ++b) streams[b] = stream_of(step, b * steps + k, Purpose::sde);
    noise.push_back({std::nullopt, {seed, std::move(streams)}});
  }
  const at::Tensor x0 = ops::philox_normal(shape, streams(seed, step, 0, batch, Purpose::initial_noise), at::kFloat,
                                           conditioning[0].device());
  return rollout(conditioning, unconditional, x0, noise, seed, step, cancellation);
}

std::unique_ptr<Rollout> AdjointMatching::rollout(const Conditioning& conditioning,
                                                  const std::optional<Conditioning>& unconditional,
                                                  const at::Tensor& x0, const std::vector<ops::Noise>& noise,
                                                  uint64_t seed, uint64_t step, const Cancellation& cancellation) {
  const int64_t batch = x0.size(0);
  const double h = 1.0 / options_.steps;
  Rollout::Origin origin{expand(conditioning, batch, "conditioning"), seed, step};
  const double guidance = options_.guidance;
  std::optional<Conditioning> free;
  if (guidance != 1) free = expand(*unconditional, batch, "unconditional");
  const int64_t rows = options_.rollout_batch.value_or(options_.micro_batch);
  std::vector<at::Tensor> states = {x0};
  int64_t forwards = batch;  // of the noiseless endpoint below
  {
    const ops::Stage stage("eam::stage::rollout");
    RolloutVelocity velocity(model_, false, rows, origin.conditioning, std::move(free), cancellation);
    for (int k = 0; k < options_.steps; ++k) {
      auto [v, unconditional_v] = velocity(states.back(), k * h);
      if (unconditional_v) v = ops::affine({{v, {guidance}}, {*unconditional_v, {1 - guidance}}});
      states.push_back(ops::memoryless_step(states.back(), v, k * h, h, noise[k]));
    }
    forwards += velocity.samples();
  }

  // X̂_1 = X_{1−h} + h v_pre(X_{1−h}, 1−h): X_K carries the noise of the last step, of standard deviation 2h, which a
  // reward would read as part of the image.
  Evaluator pretrained(model_, true, rows, cancellation);
  const at::Tensor& last = states[options_.steps - 1];
  const at::Tensor endpoint = [&] {
    const ops::Stage stage("eam::stage::rollout");
    return ops::affine({{last, {1}}, {pretrained(last, (options_.steps - 1) * h, origin.conditioning), {h}}});
  }();

  return std::make_unique<Trajectory>(std::move(origin), std::move(states), endpoint, decoding(options_), forwards);
}

std::vector<int> AdjointMatching::chosen_steps(uint64_t seed, uint64_t step) const {
  const int first_final = options_.steps - final_steps(options_);
  const int drawn = std::min(options_.drawn_steps, first_final);
  std::vector<int> chosen(first_final);
  std::iota(chosen.begin(), chosen.end(), 0);
  if (drawn < first_final) {
    const std::vector<double> u = ops::philox_uniform(streams(seed, step, 0, first_final, Purpose::subset));
    std::sort(chosen.begin(), chosen.end(), [&u](int a, int b) { return u[a] < u[b]; });
    chosen.resize(drawn);
    std::sort(chosen.begin(), chosen.end());
  }
  for (int k = first_final; k < options_.steps; ++k) chosen.push_back(k);
  return chosen;
}

bool AdjointMatching::made(const Rollout& rollout) const {
  return dynamic_cast<const Trajectory*>(&rollout) != nullptr;
}

void AdjointMatching::match(const Rollout& rollout, Kept kept, const Cancellation& cancellation, StepMetrics& metrics) {
  if (kept.samples.empty()) return;
  require_gradient("Adjoint Matching", kept.reward_gradient.defined());
  const auto& trajectory = static_cast<const Trajectory&>(rollout);
  const std::vector<int> chosen = chosen_steps(rollout.origin().seed, rollout.origin().step);
  const auto count = static_cast<int64_t>(kept.samples.size());
  const double terms = static_cast<double>(count) * static_cast<double>(chosen.size());
  const at::Tensor adjoints = ops::affine({{kept.reward_gradient, {-options_.lambda}}});
  for_each_part(count, options_.micro_batch, cancellation, [&](int64_t begin, int64_t end) {
    const std::vector<int64_t> samples(kept.samples.begin() + begin, kept.samples.begin() + end);
    match_part(trajectory, chosen, samples, adjoints.slice(0, begin, end), terms, cancellation, metrics);
  });
}

// The last step first: each adds its term as soon as its adjoint is known, so that none has to be kept.
void AdjointMatching::match_part(const Trajectory& trajectory, const std::vector<int>& chosen,
                                 const std::vector<int64_t>& samples, at::Tensor adjoint, double terms,
                                 const Cancellation& cancellation, StepMetrics& metrics) {
  const Conditioning conditioning = select(trajectory.origin().conditioning, samples);
  const auto count = static_cast<int64_t>(samples.size());
  const double h = 1.0 / options_.steps;
  const auto cap = static_cast<float>(options_.cap.value_or(std::numeric_limits<double>::infinity()));
  for (int k = options_.steps - 1; k >= chosen.front(); --k) {
    cancellation.check();
    const double t = k * h;
    const at::Tensor x = select(trajectory.states[k], samples);
    const at::Tensor leaf = x.detach().requires_grad_(true);
    const at::Tensor pretrained = model_.pretrained_velocity(leaf, times(t, x), conditioning);
    const at::Tensor vjp = torch::autograd::grad({pretrained}, {leaf}, {adjoint.to(pretrained.scalar_type())})[0];
    adjoint = ops::lean_adjoint_step(adjoint, vjp, t, h);
    metrics.forwards += count;
    metrics.vjps += count;
    if (!std::binary_search(chosen.begin(), chosen.end(), k)) continue;

    // ‖(2/σ)(v − v_pre) + σ a‖² = (4/σ²) ‖v − (v_pre − σ²/2 a)‖²
    const double half_variance = (1 - t + h) / (t + h);
    const at::Tensor fixed = pretrained.detach();
    const auto evaluate = [&](const std::vector<int64_t>& rows) -> Matched {
      const at::Tensor rows_x = select(x, rows);
      const at::Tensor velocity = model_.velocity(rows_x, times(t, rows_x), select(conditioning, rows));
      const std::vector<double> weights(rows.size(), 2 / half_variance);
      ops::Loss loss = ops::regress_velocity(velocity.detach(),
                                             {{select(fixed, rows), {1}}, {select(adjoint, rows), {-half_variance}}},
                                             nullptr, {}, weights);
      apply_cap(loss, cap);
      return {velocity, std::move(loss)};
    };
    const RowLosses step = backpropagate(count, terms, evaluate);
    metrics.forwards += step.forwards;
    metrics.backwards += step.backwards;
    for (int64_t i = 0; i < count; ++i) {
      metrics.capped += step.losses[i] >= cap;
      metrics.per_sample[samples[i]] += step.losses[i] / static_cast<float>(chosen.size());
    }
  }
}

}  // namespace eam
