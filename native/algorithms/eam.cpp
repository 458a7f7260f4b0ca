#include "algorithms/eam.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "algorithms/batch.h"
#include "algorithms/ode_solver.h"
#include "algorithms/regression.h"
#include "algorithms/sampler.h"
#include "ops/error.h"
#include "ops/stage.h"

namespace eam {

namespace {

const EamOptions& validated(const EamOptions& options) {
  checked(options, "Eam");
  if (options.reward_through_denoiser && options.terminal == Terminal::plugin) {
    throw bad_value(
        "Eam: rewardThroughDenoiser",
        "false, or the terminal \"consistent\": with \"plugin\" the reward reads the endpoint itself, not a "
        "denoised estimate",
        "true");
  }
  if (options.modes && options.terminal == Terminal::plugin) {
    throw bad_value("Eam: modes", "none, or the terminal \"consistent\": with \"plugin\" the log ratio has no end",
                    "some");
  }
  if (options.endpoints == EndpointSource::pretrained) {
    if (options.terminal == Terminal::plugin) {
      throw bad_value("Eam: endpoints", "\"current\", or the terminal \"consistent\"", "\"pretrained\"");
    }
    if (options.modes) {
      throw bad_value("Eam: modes", "none with the endpoints \"pretrained\": their weights of modes are right", "some");
    }
  }
  return options;
}

constexpr const char* kModeBaseline = "modeBaseline";

}  // namespace

struct Eam::Solved final : Rollout {
  // velocity: room for v_pre at the endpoint. products: of vectors and Jacobians of the pretrained network that the
  // reward's gradient takes a row; where there are any, v_pre is evaluated with the images.
  Solved(Origin origin, at::Tensor endpoint, Decoding decoding, int64_t forwards, at::Tensor velocity,
         Conditioning free, double jacobian, int64_t products)
      : Rollout(std::move(origin), std::move(endpoint), std::move(decoding), forwards, jacobian),
        pretrained_velocity(std::move(velocity)),
        unconditional(std::move(free)),
        products_a_row(products),
        is_evaluated(pretrained_velocity.size(0), products == 0) {}
  Solved(Origin origin, const Endpoints& endpoints, Conditioning free)
      : Rollout(std::move(origin), endpoints.endpoint, endpoints.reward_gradient),
        pretrained_velocity(endpoints.velocity),
        unconditional(std::move(free)) {}

  using Rollout::count_forwards;

  int64_t vjps() const { return products_a_row * carried(); }

  void check_evaluated() const {
    if (std::find(is_evaluated.begin(), is_evaluated.end(), false) == is_evaluated.end()) return;
    throw Error(ErrorKind::config,
                "with rewardThroughDenoiser every image is decoded before the samples are matched, and some were not");
  }

  const at::Tensor pretrained_velocity;  // at the endpoint, of time 1 − δ
  const Conditioning unconditional;      // a row a sample; empty where the loss is not guided
  const int64_t products_a_row = 0;
  std::vector<bool> is_evaluated;  // a row's pretrained velocity
};

struct Eam::Terminals {
  std::vector<int64_t> samples;   // their numbers in the rollout
  std::vector<double> factors;    // s, one a sample; empty without modes
  at::Tensor endpoint, gradient;  // Y or X_1, and G, not defined where the reward has no gradient: [kept, …]
  Conditioning conditioning;      // [kept, …]
  Conditioning unconditional;     // the same, or empty
};

Eam::Eam(FlowModel& model, const EamOptions& options)
    : RewardAlgorithm("EAM matches against", model, validated(options)), options_(options) {}

at::Tensor Eam::velocity(bool pretrained, const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning,
                         const Conditioning& unconditional) {
  const auto evaluate = [&](const Conditioning& rows) {
    return pretrained ? model_.pretrained_velocity(x, t, rows) : model_.velocity(x, t, rows);
  };
  const at::Tensor conditional = evaluate(conditioning);
  return guided() ? at::lerp(evaluate(unconditional), conditional, options_.guidance) : conditional;
}

double Eam::terminal_time() const {
  return options_.terminal == Terminal::consistent ? 1 - options_.delta : 1;
}

// Plain EAM's target follows the gradient alone; the two others need values.
void Eam::check_differentiable(bool differentiable) const {
  if (differentiable || options_.modes || options_.endpoints == EndpointSource::pretrained) return;
  throw Error(ErrorKind::config,
              "Eam needs the reward's gradient; for a reward without one, set modes, or the endpoints \"pretrained\"");
}

std::unique_ptr<Rollout> Eam::rollout(const Conditioning& conditioning,
                                      const std::optional<Conditioning>& unconditional, at::IntArrayRef shape,
                                      uint64_t seed, uint64_t step, bool differentiable,
                                      const Cancellation& cancellation) {
  check_differentiable(differentiable);
  check_stream_count(shape, options_.renoisings, "renoisings");
  if (options_.modes) check_stream_count(shape, options_.modes->times, "times of modes");
  SamplerOptions sampler;
  sampler.solver = options_.solver;
  sampler.times = shifted_times(options_.steps, terminal_time(), options_.shift.value_or(1));
  sampler.guidance = options_.guidance;
  sampler.micro_batch = options_.rollout_batch.value_or(options_.micro_batch);
  if (options_.endpoints == EndpointSource::pretrained) sampler.weights = SampledWeights::pretrained;
  const Samples samples = [&] {
    const ops::Stage stage("eam::stage::rollout");
    return sample(model_, conditioning, unconditional, shape, sampler, {seed, step, 0}, cancellation);
  }();

  const int64_t batch = shape[0];
  Rollout::Origin origin{expand(conditioning, batch, "conditioning"), seed, step};
  const Conditioning free = guided() ? expand(*unconditional, batch, "unconditional") : Conditioning{};
  const bool through = differentiable && options_.reward_through_denoiser;
  Rollout::Decoding decoding = this->decoding(options_);
  decoding.images = [this](Rollout& rollout, const at::Tensor& endpoint, int64_t begin) {
    if (options_.terminal == Terminal::plugin) return decoded(endpoint);
    const at::Tensor velocity = pretrained_velocity(static_cast<Solved&>(rollout), endpoint, begin);
    return decoded(at::add(endpoint, velocity, options_.delta));
  };
  auto solved = std::make_unique<Solved>(std::move(origin), samples.latents, std::move(decoding), samples.forwards,
                                         at::empty_like(samples.latents), free, denoiser_jacobian(),
                                         through ? (guided() ? 2 : 1) : 0);
  if (through) return solved;
  at::NoGradGuard no_grad;
  for_each_part(batch, options_.micro_batch, cancellation, [&](int64_t begin, int64_t end) {
    evaluate_pretrained(*solved, samples.latents.slice(0, begin, end), begin);
  });
  return solved;
}

// v_pre at the endpoint of the rows from `begin` on, with a graph where autograd records one.
at::Tensor Eam::evaluate_pretrained(Solved& rollout, const at::Tensor& endpoint, int64_t begin) {
  const ops::Stage stage("eam::stage::rollout");
  const int64_t end = begin + endpoint.size(0);
  const at::Tensor t = at::full({end - begin}, 1 - options_.delta, at::device(endpoint.device()).dtype(at::kFloat));
  const at::Tensor velocity = this->velocity(true, endpoint, t, slice(rollout.origin().conditioning, begin, end),
                                             slice(rollout.unconditional, begin, end));
  rollout.count_forwards((end - begin) * (guided() ? 2 : 1));
  rollout.pretrained_velocity.slice(0, begin, end).copy_(velocity.detach());
  std::fill(rollout.is_evaluated.begin() + begin, rollout.is_evaluated.begin() + end, true);
  return velocity;
}

at::Tensor Eam::pretrained_velocity(Solved& rollout, const at::Tensor& endpoint, int64_t begin) {
  const bool has_graph = rollout.products_a_row != 0 && at::GradMode::is_enabled();
  const int64_t end = begin + endpoint.size(0);
  const auto known = rollout.is_evaluated.begin();
  if (has_graph || std::find(known + begin, known + end, false) != known + end) {
    return evaluate_pretrained(rollout, endpoint, begin);
  }
  return rollout.pretrained_velocity.slice(0, begin, end);
}

Endpoints Eam::keep(Rollout& rollout, const std::optional<at::Tensor>& reward_grad, const Cancellation& cancellation) {
  if (!made(rollout)) throw Error(ErrorKind::config, "the rollout was made by another algorithm");
  const auto& solved = static_cast<const Solved&>(rollout);
  const at::Tensor gradient = rollout.spend(reward_grad, cancellation);
  solved.check_evaluated();
  return {solved.endpoint(), solved.pretrained_velocity, gradient, solved.vjps()};
}

std::unique_ptr<Rollout> Eam::recall(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                                     const Endpoints& endpoints, uint64_t seed, uint64_t step) {
  const at::Tensor& endpoint = endpoints.endpoint;
  check_stream_count(endpoint.sizes(), options_.renoisings, "renoisings");
  check_sampling(endpoint.sizes(), conditioning, unconditional, options_.guidance);
  check_differentiable(endpoints.reward_gradient.defined());
  const auto check = [&](const at::Tensor& tensor, const char* name) {
    if (tensor.sizes() != endpoint.sizes()) {
      throw bad_shape(name, words("the endpoint's shape, ", endpoint.sizes()), tensor.sizes());
    }
    if (tensor.device() != endpoint.device()) {
      throw bad_shape(name, words("the endpoint's device, ", endpoint.device()), tensor.device());
    }
  };
  check(endpoints.velocity, "velocity");
  if (endpoints.reward_gradient.defined()) check(endpoints.reward_gradient, "rewardGradient");
  const int64_t batch = endpoint.size(0);
  Rollout::Origin origin{expand(conditioning, batch, "conditioning"), seed, step};
  Conditioning free = guided() ? expand(*unconditional, batch, "unconditional") : Conditioning{};
  return std::make_unique<Solved>(std::move(origin), endpoints, std::move(free));
}

double Eam::denoiser_jacobian() const {
  if (options_.reward_through_denoiser || options_.terminal == Terminal::plugin) return 1;
  return kernels::base_jacobian(terminal_time(), model_.latent_variance());
}

bool Eam::made(const Rollout& rollout) const {
  return dynamic_cast<const Solved*>(&rollout) != nullptr;
}

std::vector<double> Eam::ratios(const Solved& rollout, const std::vector<int64_t>& samples,
                                const Cancellation& cancellation, StepMetrics& metrics) {
  const Rollout::Origin& origin = rollout.origin();
  const RatioPoints points{options_.modes->times, terminal_time(), origin.seed, origin.step, samples};
  const auto velocities = [&](const at::Tensor& x, const at::Tensor& t, const std::vector<int64_t>& rows) {
    std::vector<int64_t> numbers;
    numbers.reserve(rows.size());
    for (const int64_t row : rows) numbers.push_back(samples[row]);
    const Conditioning conditioning = select(origin.conditioning, numbers);
    const Conditioning unconditional = select(rollout.unconditional, numbers);
    metrics.forwards += 2 * static_cast<int64_t>(rows.size()) * (guided() ? 2 : 1);
    return std::pair(velocity(false, x, t, conditioning, unconditional),
                     velocity(true, x, t, conditioning, unconditional));
  };
  return log_ratios(select(rollout.endpoint(), samples), points, options_.micro_batch, cancellation, velocities);
}

Eam::Terminals Eam::terminals(const Solved& rollout, const Kept& kept, const std::vector<double>& ratios,
                              StepMetrics& metrics) {
  const double time = 1 - options_.delta;
  const at::Tensor endpoint = select(rollout.endpoint(), kept.samples);
  const at::Tensor velocity = select(rollout.pretrained_velocity, kept.samples);
  // (t v − x)/(1 − t), for the metric; the kernel below has it in registers.
  const std::vector<double> score_norms =
      norms(ops::affine({{velocity, {time / (1 - time)}}, {endpoint, {-1 / (1 - time)}}}));
  std::vector<double> finite_norms, finite_ratios, advantages;
  std::vector<int64_t> finite;
  Terminals result;
  for (size_t i = 0; i < kept.samples.size(); ++i) {
    const int64_t sample = kept.samples[i];
    if (!std::isfinite(score_norms[i]) || (options_.modes && !std::isfinite(ratios[i]))) {
      metrics.per_sample[sample] = std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    result.samples.push_back(sample);
    if (options_.modes) {
      finite_ratios.push_back(ratios[i]);
      advantages.push_back(options_.lambda * kept.rewards[i] - ratios[i]);
    }
    finite.push_back(static_cast<int64_t>(i));
    finite_norms.push_back(score_norms[i]);
  }
  metrics.score_norm = mean(finite_norms);
  if (finite.empty()) return result;
  if (options_.modes) {
    result.factors = mode_factors(*options_.modes, mode_baseline_.add(advantages), advantages);
    metrics.modes = mode_metrics(*options_.modes, finite_ratios, advantages, result.factors);
  }
  result.endpoint = select(endpoint, finite);
  result.conditioning = select(rollout.origin().conditioning, result.samples);
  result.unconditional = select(rollout.unconditional, result.samples);
  if (!kept.reward_gradient.defined()) return result;
  result.gradient = ops::terminal_gradient(result.endpoint, select(velocity, finite),
                                           select(kept.reward_gradient, finite), options_.lambda, time);
  return result;
}

// One evaluation of the trained network: renoisings begin ≤ i < end of the kept samples, M consecutive ones a sample.
void Eam::match_part(const Rollout::Origin& origin, const Terminals& terminals, int64_t begin, int64_t end,
                     StepMetrics& metrics) {
  const int64_t renoisings = options_.renoisings, count = end - begin;
  const double last = terminal_time();
  std::vector<int64_t> samples(count);  // of `terminals`
  std::vector<uint64_t> time_streams(count), noise_streams(count);
  for (int64_t i = 0; i < count; ++i) {
    samples[i] = (begin + i) / renoisings;
    const int64_t number = terminals.samples[samples[i]] * renoisings + (begin + i) % renoisings;
    time_streams[i] = stream_of(origin.step, number, Purpose::time);
    noise_streams[i] = stream_of(origin.step, number, Purpose::renoise);
  }
  std::vector<double> t = ops::philox_uniform({origin.seed, time_streams});
  for (int64_t i = 0; i < count; ++i) {
    // What the network reads in float32, the kernels read too; rounding must not pass the terminal time.
    const auto stratum = static_cast<double>((begin + i) % renoisings);
    auto time = static_cast<float>(last * (stratum + t[i]) / static_cast<double>(renoisings));
    if (time > last) time = std::nextafter(time, 0.0f);
    t[i] = time;
  }

  const auto evaluate = [&](const std::vector<int64_t>& rows) -> Matched {
    const auto pick = [&rows](const auto& values) {
      std::decay_t<decltype(values)> picked;
      for (const int64_t row : rows) picked.push_back(values[row]);
      return picked;
    };
    const std::vector<int64_t> row_samples = pick(samples);
    const std::vector<double> times = pick(t);
    const ops::Noise noise{std::nullopt, {origin.seed, pick(noise_streams)}};
    const at::Tensor x1 = select(terminals.endpoint, row_samples);
    const at::Tensor x = ops::renoise(x1, times, noise, last);
    const at::Tensor trained =
        velocity(false, x, at::tensor(times, at::kDouble).to(x.device(), at::kFloat),
                 select(terminals.conditioning, row_samples), select(terminals.unconditional, row_samples));
    const ops::Matching matching{options_.C, options_.weighting, options_.cap, last};
    std::vector<double> factors(row_samples.size());
    if (options_.modes) {
      for (size_t i = 0; i < factors.size(); ++i) factors[i] = terminals.factors[row_samples[i]];
    }
    if (!terminals.gradient.defined()) {
      return {trained, ops::value_matching_loss(trained.detach(), x1, times, noise, matching, factors)};
    }
    const at::Tensor gradient = select(terminals.gradient, row_samples);
    if (options_.modes) {
      return {trained, ops::mode_matching_loss(trained.detach(), x1, gradient, times, noise, matching, factors)};
    }
    // On a GPU, drawing the noise again takes less time than reading x_t from memory; on a CPU it takes more.
    ops::Loss loss = x.is_cuda() ? ops::matching_loss(trained.detach(), x1, gradient, times, noise, matching)
                                 : ops::matching_loss(trained.detach(), x, x1, gradient, times, matching);
    return {trained, std::move(loss)};
  };
  const auto total = static_cast<double>(terminals.samples.size()) * static_cast<double>(renoisings);
  const RowLosses part = backpropagate(count, total, evaluate);
  metrics.forwards += part.forwards * (guided() ? 2 : 1);
  metrics.backwards += part.backwards * (guided() ? 2 : 1);
  for (int64_t i = 0; i < count; ++i) {
    metrics.per_sample[terminals.samples[samples[i]]] += part.losses[i] / static_cast<float>(renoisings);
  }
}

void Eam::match(const Rollout& rollout, Kept kept, const Cancellation& cancellation, StepMetrics& metrics) {
  const auto& solved = static_cast<const Solved&>(rollout);
  metrics.vjps = solved.vjps();
  if (kept.samples.empty()) return;
  check_differentiable(kept.reward_gradient.defined());
  solved.check_evaluated();
  const std::vector<double> log_ratios =
      options_.modes ? ratios(solved, kept.samples, cancellation, metrics) : std::vector<double>{};
  const Terminals kept_terminals = terminals(solved, kept, log_ratios, metrics);
  if (kept_terminals.samples.empty()) return;
  const int64_t total = static_cast<int64_t>(kept_terminals.samples.size()) * options_.renoisings;
  for_each_part(total, options_.micro_batch, cancellation,
                [&](int64_t begin, int64_t end) { match_part(rollout.origin(), kept_terminals, begin, end, metrics); });
}

AlgorithmState Eam::state() const {
  AlgorithmState state = RewardAlgorithm::state();
  if (options_.modes) state[kModeBaseline] = mode_baseline_.state();
  return state;
}

AlgorithmState Eam::checked(const AlgorithmState& state) const {
  const auto baseline = state.find(kModeBaseline);
  if (options_.modes.has_value() != (baseline != state.end())) {
    throw Error(ErrorKind::checkpoint, options_.modes ? "the state is of a run without modes, and this one has them"
                                                      : "the state is of a run with modes, and this one has none");
  }
  AlgorithmState kept = RewardAlgorithm::checked(state);
  if (baseline == state.end()) return kept;
  ModeBaseline().load(baseline->second);
  kept.insert(*baseline);
  return kept;
}

void Eam::load(const AlgorithmState& state) {
  RewardAlgorithm::load(state);
  if (options_.modes) mode_baseline_.load(state.at(kModeBaseline));
}

}  // namespace eam
