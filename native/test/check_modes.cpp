// Checks the mode-aware EAM term without Node, against float64 formulas written out and closed forms of Gaussian
// mixtures (docs/beyond-the-paper.md). Exits with 1 on a mismatch.
#include <ATen/ATen.h>

#include <cmath>
#include <string>
#include <vector>

#include "algorithms/modes.h"
#include "kernels/schedule.h"
#include "ops/ops.h"
#include "test/check.h"

namespace {

using namespace eam;

at::Tensor column(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble).unsqueeze(1);
}

std::vector<double> numbers(const at::Tensor& values) {
  const at::Tensor flat = values.contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

at::Tensor normal(at::IntArrayRef shape, uint64_t stream, at::ScalarType dtype = at::kDouble) {
  return ops::philox_normal(shape, {11, {stream}}, dtype, at::kCPU);
}

// A mixture of isotropic Gaussians in d dimensions at time 1, its velocity and the density of its marginals.
struct Mixture {
  at::Tensor means;    // [K, d]
  at::Tensor weights;  // [K]
  double std;

  at::Tensor log_joint(const at::Tensor& x, const at::Tensor& t) const {  // [N, K], t [N, 1]
    const at::Tensor variance = t * t * std * std + (1 - t) * (1 - t);
    const at::Tensor distance = (x.unsqueeze(1) - t.unsqueeze(1) * means).square().sum(2);
    return weights.log() - distance / (2 * variance) - 0.5 * static_cast<double>(means.size(1)) * variance.log();
  }
  at::Tensor log_density(const at::Tensor& x, const at::Tensor& t) const { return log_joint(x, t).logsumexp(1); }
  at::Tensor velocity(const at::Tensor& x, const at::Tensor& t) const {
    const at::Tensor variance = t * t * std * std + (1 - t) * (1 - t);
    const at::Tensor mean = log_joint(x, t).softmax(1).matmul(means);
    return ((1 - t) * mean + (t * std * std - (1 - t)) * x) / variance;
  }
};

// The target as its definition says: v̂ + (b²/Q) s (u − v).
void check_target() {
  for (const double delta : {0.05, 0.3}) {
    const double terminal = 1 - delta, C = 0.6;
    const std::vector<double> t = {0.0, 0.2 * terminal, 0.7 * terminal, terminal}, s = {-1, 0.4, 4, 2};
    const at::Tensor velocity = normal({4, 7}, 1), y = normal({4, 7}, 2), gradient = normal({4, 7}, 3),
                     epsilon = normal({4, 7}, 4);
    const at::Tensor time = column(t), factor = column(s);
    // (1 − t)² − a²δ², factored so that it is 0 at the terminal time.
    const at::Tensor b2 = (terminal - time) * (terminal * (1 - time) + time * delta) / (terminal * terminal);
    const at::Tensor b = b2.sqrt();
    const double kappa = 2 * C - 1, kappa_end = terminal * terminal * kappa + delta * delta;
    const at::Tensor Q = time.square() * kappa + (1 - time).square(), x = time / terminal * y + b * epsilon;
    const at::Tensor e = (1 - time) + time * delta * delta / (terminal * terminal);
    const at::Tensor plain = ((2 * C * time - 1) * x + (1 - time) * (y + kappa_end * gradient) / terminal) / Q;
    // b² u, since u has no value where b is 0.
    const at::Tensor target = plain + factor * (b2 * (y / terminal - velocity) - b * e * epsilon) / Q;
    const ops::Matching matching{C, ops::Weighting::velocity, 20, terminal};
    const ops::Loss loss = ops::mode_matching_loss(velocity, y, gradient, t, {epsilon, {}}, matching, s);
    check::report("target against its definition, delta " + std::to_string(delta),
                  check::error_of(loss.grad, 2 * (velocity - target) / (7.0 * 4.0)), 1e-13);

    const ops::Loss none = ops::mode_matching_loss(velocity, y, gradient, t, {epsilon, {}}, matching, {0, 0, 0, 0});
    const ops::Loss published = ops::matching_loss(velocity, y, gradient, t, {epsilon, {}}, matching);
    check::report("s = 0 is the published loss, bit for bit",
                  at::equal(none.grad, published.grad) && none.loss == published.loss ? 0 : 1, 0);

    // v + b²/(1 − t)² (1 + s)(u − v), b² u as above.
    const at::Tensor value_target =
        velocity + (1 + factor) * (b2 * (y / terminal - velocity) - b * e * epsilon) / (1 - time).square();
    const ops::Loss values = ops::value_matching_loss(velocity, y, t, {epsilon, {}}, matching, s);
    check::report("target without a gradient against its definition, delta " + std::to_string(delta),
                  check::error_of(values.grad, 2 * (velocity - value_target) / (7.0 * 4.0)), 1e-13);
  }
}

void check_log_ratio_terms() {
  const double delta = 0.1, terminal = 0.9;
  const std::vector<double> t = {0.1, 0.45, 0.89};
  const at::Tensor time = column(t), y = normal({3, 5}, 5), epsilon = normal({3, 5}, 6);
  const at::Tensor trained = normal({3, 5}, 7), pretrained = normal({3, 5}, 8);
  const at::Tensor b = ((1 - time).square() - (time / terminal).square() * delta * delta).sqrt();
  const at::Tensor u = y / terminal - epsilon * ((1 - time) + time * delta * delta / (terminal * terminal)) / b;
  const at::Tensor expected =
      (time / (1 - time)).squeeze(1) * ((trained - pretrained) * (2 * u - trained - pretrained)).sum(1);
  const std::vector<double> found = ops::log_ratio_terms(trained, pretrained, y, t, {epsilon, {}}, terminal);
  check::report("terms of the log ratio against their definition",
                check::error_of(at::tensor(found, at::kDouble), expected), 1e-11);
}

// ℓ of two laws whose velocities are known, from points of its own.
std::vector<double> estimated(const Mixture& after, const Mixture& before, const at::Tensor& endpoint, double terminal,
                              int64_t micro_batch = 0) {
  RatioPoints points{3, terminal, 12, 0, {}};
  for (int64_t sample = 0; sample < endpoint.size(0); ++sample) points.numbers.push_back(sample);
  const auto velocities = [&](const at::Tensor& x, const at::Tensor& t, const std::vector<int64_t>&) {
    const at::Tensor time = t.to(at::kDouble).unsqueeze(1);
    return std::pair(after.velocity(x, time), before.velocity(x, time));
  };
  return log_ratios(endpoint, points, micro_batch, {}, velocities);
}

// Their mean at a point against log p_θ/p_pre there.
void check_log_ratio(double delta) {
  const double terminal = 1 - delta;
  const Mixture before{at::tensor({0.0, 0.0}, at::kDouble).view({1, 2}), at::ones({1}, at::kDouble), 0.8};
  const Mixture after{at::tensor({0.6, -0.2}, at::kDouble).view({1, 2}), at::ones({1}, at::kDouble), 0.6};
  constexpr int64_t samples = 8000;
  double worst = 0;
  for (uint64_t point = 0; point < 5; ++point) {
    const at::Tensor y = normal({1, 2}, 20 + point), end = at::full({1, 1}, terminal, at::kDouble);
    const at::Tensor found = at::tensor(estimated(after, before, y.expand({samples, 2}), terminal), at::kDouble);
    const double exact = (after.log_density(y, end) - before.log_density(y, end)).item<double>();
    const double error = found.std().item<double>() / std::sqrt(static_cast<double>(samples));
    worst = std::max(worst, std::abs(found.mean().item<double>() - exact) / error);
  }
  check::report("log ratio of two Gaussians, standard errors, delta " + std::to_string(delta), worst, 3.5);
  const at::Tensor few = normal({4, 2}, 30);
  check::report("log ratios in micro-batches of 5",
                check::error_of(at::tensor(estimated(after, before, few, terminal, 5), at::kDouble),
                                at::tensor(estimated(after, before, few, terminal), at::kDouble)),
                1e-12);
}

// The mean of (v̂ − v_θ) φ(x_t), and its standard error.
struct Residual {
  double mean, error;
};

constexpr double kDelta = 0.1, kTerminal = 1 - kDelta;

// What mode-aware EAM asks of a network whose law is `model`, φ being 1 between its two modes and 0 elsewhere, or 1
// everywhere: endpoints, λr and its gradient in closed form, the rest as a training step computes it. gain 0: EAM.
// values_only: what a reward without a gradient asks.
Residual residual(const Mixture& model, const Mixture& before, const Mixture& target, double gain, bool between,
                  bool values_only = false) {
  constexpr int64_t samples = 1 << 14, draws = 4, rows = samples * draws;
  const at::Tensor mode = at::multinomial(model.weights, samples, true);
  const at::Tensor x1 = model.means.index_select(0, mode) + model.std * normal({samples, 1}, 70);
  const at::Tensor endpoint = kTerminal * x1 + kDelta * normal({samples, 1}, 71);
  const at::Tensor end = at::full({samples, 1}, kTerminal, at::kDouble);
  const at::Tensor tilt = target.log_density(endpoint, end) - before.log_density(endpoint, end);
  const at::Tensor score = (kTerminal * target.velocity(endpoint, end) - endpoint) / kDelta;
  const at::Tensor ratio = at::tensor(estimated(model, before, endpoint, kTerminal), at::kDouble);

  ModeOptions options;
  options.gain = gain;
  const std::vector<double> advantages = numbers(tilt - ratio);
  const at::Tensor factors = at::tensor(mode_factors(options, ModeBaseline().add(advantages), advantages), at::kDouble);

  const auto repeated = [](const at::Tensor& values) { return values.repeat_interleave(draws, 0); };
  const std::vector<double> t = numbers(kTerminal * at::rand({rows}, at::kDouble));
  const at::Tensor y = repeated(endpoint);
  const ops::Noise noise{normal({rows, 1}, 72), {}};
  const at::Tensor x = ops::renoise(y, t, noise, kTerminal), velocity = model.velocity(x, column(t));
  const ops::Matching matching{0.6, ops::Weighting::velocity, 20, kTerminal};
  const std::vector<double> s = numbers(repeated(factors));
  const ops::Loss loss = values_only ? ops::value_matching_loss(velocity, y, t, noise, matching, s)
                                     : ops::mode_matching_loss(velocity, y, repeated(score), t, noise, matching, s);
  const at::Tensor weight = between ? (x.abs() < 0.3).to(at::kDouble) : at::ones_like(x);
  const at::Tensor each = (-0.5 * rows * loss.grad * weight).view({samples, draws}).mean(1);
  return {each.mean().item<double>(), each.std().item<double>() / std::sqrt(static_cast<double>(samples))};
}

// At the tilted mixture itself nothing is left to do; with wrong weights, which EAM's own target accepts where modes
// are apart, probability moves towards the mode that has too little.
void check_fixed_point() {
  const double std = 0.25, shift = std * std;
  const auto mixture = [&](double mean_shift, double low) {
    return Mixture{at::tensor({-1 + mean_shift, 1 + mean_shift}, at::kDouble).view({2, 1}),
                   at::tensor({low, 1 - low}, at::kDouble), std};
  };
  // r = x and λ = 1: means move by std², weights by e^{mean}.
  const double low = 1 / (1 + std::exp(2.0));
  const Mixture before = mixture(0, 0.5), target = mixture(shift, low);
  for (const bool between : {false, true}) {
    const Residual rest = residual(target, before, target, 0.1, between);
    check::report(std::string("nothing left at the target, ") + (between ? "between modes" : "everywhere") + ", errors",
                  std::abs(rest.mean) / rest.error, 3.5);
    const Residual values = residual(target, before, target, 0.1, between, true);
    check::report(
        std::string("nor without a gradient, ") + (between ? "between modes" : "everywhere") + ", standard errors",
        std::abs(values.mean) / values.error, 3.5);
  }
  const Residual blind = residual(mixture(shift, 0.5), before, target, 0, true);
  const Residual less = residual(mixture(shift, 0.5), before, target, 0.5, true);
  const Residual more = residual(mixture(shift, low / 8), before, target, 0.5, true);
  check::report("EAM alone sees no wrong weights, standard errors", std::abs(blind.mean) / blind.error, 5);
  const Residual low_values = residual(mixture(shift, low / 8), before, target, 0.5, true, true);
  const Residual unmoved = residual(mixture(0, low), before, target, 0.5, false, true);
  check::report("so it is without a gradient, of 4 errors", -4 * low_values.error / low_values.mean, 1);
  check::report("and modes that have not moved yet are moved, of 4 errors", 4 * unmoved.error / unmoved.mean, 1);
  check::report("too much in the low mode is pushed up, of 4 errors", 4 * less.error / less.mean, 1);
  check::report("too little in the low mode is pushed down, of 4 errors", -4 * more.error / more.mean, 1);
}

void check_factors() {
  ModeOptions options;
  const std::vector<double> advantages = {-50, 0.01, 0, 60};
  const std::vector<double> s = mode_factors(options, {0, 30}, advantages);
  check::report("s is at least -1, at most its ceiling, and linear between",
                s[0] == -1 && s[3] == options.ceiling ? std::abs(s[1] - 0.01 * options.gain) : 1, 1e-15);
  ModeOptions lower;
  lower.floor = -3;
  const std::vector<double> deeper = mode_factors(lower, {0, 30}, {-50, -0.25});
  check::report("a lower floor lets s go down to it",
                std::abs(deeper[0] - lower.floor) + std::abs(deeper[1] + 0.25 * lower.gain), 1e-15);
  check::report("and counts as clipped what is at it",
                std::abs(mode_metrics(lower, {1, 2}, {-50, -0.25}, deeper).clipped - 0.5), 1e-15);
  const ModeMetrics metrics = mode_metrics(options, {1, 2, 3, 6}, advantages, s);
  check::report("metrics", std::abs(metrics.drift - 3) + std::abs(metrics.clipped - 0.5), 1e-14);
  options.normalise = true;
  check::report("a deviation above 1 divides the gain",
                std::abs(mode_factors(options, {0, 2}, {0.1})[0] - 0.05 * options.gain), 1e-15);
  check::report("one below 1 does not", std::abs(mode_factors(options, {0, 0.1}, {0.1})[0] - 0.1 * options.gain),
                1e-15);

  ModeBaseline baseline;
  baseline.add({1, 3});
  const ModeBaseline::Values running = baseline.add({11, 11});
  check::report("the baseline runs with the step's own advantages", std::abs(running.mean - (0.8 * 2 + 0.2 * 11)),
                1e-14);
  ModeBaseline resumed;
  resumed.load(baseline.state());
  check::report("and goes on from its state", std::abs(resumed.add({0}).mean - 0.8 * running.mean), 1e-14);
}

}  // namespace

int main() {
  return check::run_checks([] {
    at::manual_seed(3);
    check_target();
    check_log_ratio_terms();
    for (const double delta : {0.05, 0.3}) check_log_ratio(delta);
    check_fixed_point();
    check_factors();
  });
}
