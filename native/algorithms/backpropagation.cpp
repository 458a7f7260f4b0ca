#include "algorithms/backpropagation.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "algorithms/batch.h"
#include "ops/error.h"
#include "ops/stage.h"

namespace eam {

namespace {

// The first of the last steps is at least the first of all: a product such as 0.1 · 30 is a rounding error above the
// whole number that was meant.
int final_steps(const ReflOptions& options) {
  checked(options, "Refl");
  return std::max(1, static_cast<int>(std::ceil(options.final_fraction * options.steps - 1e-9)));
}

const DraftOptions& validated(const DraftOptions& options) {
  checked(options, "Draft");
  if (options.last_steps > options.steps) {
    throw bad_value("Draft: lastSteps", words("at most the rollout's ", options.steps, " steps"), options.last_steps);
  }
  if (options.renoisings > 0 && options.last_steps != 1) {
    throw bad_value("Draft: lastSteps", "1 with renoisings, which are of the last step alone", options.last_steps);
  }
  return options;
}

const AlignPropOptions& validated(const AlignPropOptions& options) {
  checked(options, "AlignProp");
  const int most = options.most_steps.value_or(options.steps);
  if (most > options.steps) {
    throw bad_value("AlignProp: mostSteps", words("at most the rollout's ", options.steps, " steps"), most);
  }
  if (options.fewest_steps > most) {
    throw bad_value("AlignProp: fewestSteps", words("at most ", most, ", the most steps"), options.fewest_steps);
  }
  return options;
}

// Copies one after the other.
Conditioning repeated(const Conditioning& conditioning, int64_t times) {
  Conditioning rows;
  for (const at::Tensor& tensor : conditioning) {
    rows.push_back(times == 1 ? tensor : at::cat(std::vector<at::Tensor>(times, tensor)));
  }
  return rows;
}

}  // namespace

struct Backpropagation::Truncated final : Rollout {
  // What is differentiated, from its start.
  struct Part {
    OdeSolver start;                           // a row an image
    Conditioning conditioning, unconditional;  // the same rows; the latter may be empty
    at::Tensor recorded;                       // the endpoint with its graph, or not defined
    int64_t evaluations;                       // of the graph, one a row
  };

  Truncated(Origin origin, at::Tensor endpoint, Decoding decoding, int64_t forwards, Part part)
      : Rollout(std::move(origin), std::move(endpoint), std::move(decoding), forwards),
        differentiated(std::move(part)) {}

  mutable Part differentiated;  // its graph is given up once it is spent
};

Backpropagation::Backpropagation(const char* name, FlowModel& model, const BackpropagationOptions& options,
                                 Truncation truncation)
    : RewardAlgorithm("a run's drift is measured from", model, options),
      name_(name),
      options_(options),
      truncation_(truncation) {}

Refl::Refl(FlowModel& model, const ReflOptions& options)
    : Backpropagation("ReFL", model, options, {1, final_steps(options), true, 0}) {}

Draft::Draft(FlowModel& model, const DraftOptions& options)
    : Backpropagation("DRaFT", model, validated(options),
                      {options.last_steps, options.last_steps, false, options.renoisings}) {}

AlignProp::AlignProp(FlowModel& model, const AlignPropOptions& options)
    : Backpropagation("AlignProp", model, validated(options),
                      {options.fewest_steps, options.most_steps.value_or(options.steps), false, 0}) {}

int Backpropagation::last_steps(uint64_t seed, uint64_t step) const {
  const auto [fewest, most, jumps, renoisings] = truncation_;
  if (fewest == most) return most;
  const double u = ops::philox_uniform({seed, {stream_of(step, 0, Purpose::depth)}})[0];
  return std::min(most, fewest + static_cast<int>(u * (most - fewest + 1)));
}

at::Tensor Backpropagation::solve(OdeSolver solver, const Conditioning& conditioning, const Conditioning& unconditional,
                                  const Cancellation& cancellation, int64_t& evaluations) {
  const auto evaluate = [&](const Conditioning& rows) {
    cancellation.check();
    const at::Tensor& x = solver.x();
    evaluations += x.size(0);
    return model_.velocity(x, at::full({x.size(0)}, solver.t(), at::device(x.device()).dtype(at::kFloat)), rows);
  };
  while (!solver.done()) {
    const at::Tensor velocity = evaluate(conditioning);
    if (guided()) {
      solver.advance(velocity, evaluate(unconditional), options_.guidance);
    } else {
      solver.advance(velocity);
    }
  }
  return solver.x();
}

at::Tensor Backpropagation::solve_in_parts(const OdeSolver& solver, const Conditioning& conditioning,
                                           const Conditioning& unconditional, const Cancellation& cancellation,
                                           int64_t& evaluations) {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> ends;
  for_each_part(solver.x().size(0), options_.micro_batch, cancellation, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> rows(end - begin);
    std::iota(rows.begin(), rows.end(), begin);
    ends.push_back(solve(solver.with_rows(rows), slice(conditioning, begin, end), slice(unconditional, begin, end),
                         cancellation, evaluations));
  });
  return at::cat(ends);
}

std::unique_ptr<Rollout> Backpropagation::rollout(const Conditioning& conditioning,
                                                  const std::optional<Conditioning>& unconditional,
                                                  at::IntArrayRef shape, uint64_t seed, uint64_t step,
                                                  bool differentiable, const Cancellation& cancellation) {
  require_gradient(name_, differentiable);
  check_sampling(shape, conditioning, unconditional, options_.guidance);
  const int copies = truncation_.renoisings + 1;
  check_stream_count(shape, copies, "images");
  const int64_t batch = shape[0];
  Rollout::Origin origin{expand(conditioning, batch, "conditioning"), seed, step};
  const Conditioning free = guided() ? expand(*unconditional, batch, "unconditional") : Conditioning{};
  const std::vector<double> times = shifted_times(options_.steps, 1, options_.shift.value_or(1));
  const int first = options_.steps - last_steps(seed, step);

  // Steps before the first that is differentiated.
  int64_t forwards = 0;
  OdeSolver solver(options_.solver, times);
  {
    const ops::Stage stage("eam::stage::rollout");
    solver.start(ops::philox_normal(shape, streams(seed, step, 0, batch, Purpose::initial_noise), at::kFloat,
                                    conditioning[0].device()));
    Evaluator velocity(model_, false, options_.micro_batch, cancellation);
    while (solver.steps_done() < first) {
      const at::Tensor conditional = velocity(solver.x(), solver.t(), origin.conditioning);
      if (guided()) {
        solver.advance(conditional, velocity(solver.x(), solver.t(), free), options_.guidance);
      } else {
        solver.advance(conditional);
      }
    }
    forwards = velocity.samples();
  }
  if (truncation_.jumps) {
    const at::Tensor x = solver.x();
    solver = OdeSolver(SolverKind::euler, {times[first], 1});
    solver.start(x);
  }

  // The rest, whose graph is kept where the whole batch is evaluated at once.
  const bool keep_graph = options_.micro_batch == 0;
  int64_t evaluations = 0;
  const auto to_end = [&](const OdeSolver& start, const Conditioning& rows, const Conditioning& free_rows) {
    const ops::Stage stage("eam::stage::rollout");
    if (!keep_graph) return solve_in_parts(start, rows, free_rows, cancellation, evaluations);
    at::AutoGradMode record(true);
    return solve(start, rows, free_rows, cancellation, evaluations);
  };
  at::Tensor end = to_end(solver, origin.conditioning, free);
  const Conditioning rows = repeated(origin.conditioning, copies), free_rows = repeated(free, copies);
  if (copies > 1) {
    const int64_t added = batch * truncation_.renoisings;
    std::vector<int64_t> samples(added);
    for (int64_t i = 0; i < added; ++i) samples[i] = i % batch;
    const ops::Noise noise{std::nullopt, streams(seed, step, 0, added, Purpose::renoise)};
    const std::vector<double> t(added, times[first]);
    const at::Tensor renoised = ops::renoise(select(end.detach(), samples), t, noise);
    OdeSolver again(options_.solver, {times[first], 1});
    again.start(renoised);
    const at::Tensor ends = to_end(again, slice(rows, batch, batch + added), slice(free_rows, batch, batch + added));
    again.start(at::cat({solver.x(), renoised}));
    solver = std::move(again);
    at::AutoGradMode record(keep_graph);
    end = at::cat({end, ends});
  }
  const at::Tensor endpoint = end.detach();
  return std::make_unique<Truncated>(
      std::move(origin), endpoint, decoding(options_), forwards + evaluations,
      Truncated::Part{std::move(solver), rows, free_rows, keep_graph ? end : at::Tensor(), evaluations});
}

bool Backpropagation::made(const Rollout& rollout) const {
  return dynamic_cast<const Truncated*>(&rollout) != nullptr;
}

void Backpropagation::match(const Rollout& rollout, Kept kept, const Cancellation& cancellation, StepMetrics& metrics) {
  const Truncated::Part& part = static_cast<const Truncated&>(rollout).differentiated;
  at::Tensor recorded = std::exchange(static_cast<const Truncated&>(rollout).differentiated.recorded, at::Tensor());
  if (kept.samples.empty()) return;
  require_gradient(name_, kept.reward_gradient.defined());
  // A reward may be finite where its image is not.
  const std::vector<double> sizes = norms(select(rollout.endpoint(), kept.samples));
  std::vector<int64_t> rows, places;
  for (size_t i = 0; i < kept.samples.size(); ++i) {
    const int64_t row = kept.samples[i];
    if (!std::isfinite(sizes[i])) {
      metrics.per_sample[row] = std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    rows.push_back(row);
    places.push_back(static_cast<int64_t>(i));
    metrics.per_sample[row] = static_cast<float>(-options_.lambda * kept.rewards[i]);
  }
  if (rows.empty()) return;
  const auto count = static_cast<int64_t>(rows.size());
  const at::Tensor upstream =
      ops::affine({{select(kept.reward_gradient, places), {-options_.lambda / static_cast<double>(count)}}});

  // Through the backward pass a row that is not finite would reach every weight, whatever its gradient: without it the
  // others are computed again.
  if (recorded.defined() && count == rollout.endpoint().size(0)) {
    cancellation.check();
    torch::autograd::backward({recorded}, {upstream});
    metrics.backwards += part.evaluations;
    return;
  }
  recorded.reset();
  for_each_part(count, options_.micro_batch, cancellation, [&](int64_t begin, int64_t end) {
    const std::vector<int64_t> chosen(rows.begin() + begin, rows.begin() + end);
    int64_t evaluations = 0;
    at::AutoGradMode record(true);
    const at::Tensor ends = solve(part.start.with_rows(chosen), select(part.conditioning, chosen),
                                  select(part.unconditional, chosen), cancellation, evaluations);
    torch::autograd::backward({ends}, {upstream.slice(0, begin, end)});
    metrics.forwards += evaluations;
    metrics.backwards += evaluations;
  });
}

}  // namespace eam
