// Checks the mode-aware EAM term without Node, against float64 formulas written out and closed forms of Gaussian
// mixtures (docs/beyond-the-paper.md). Exits with 1 on a mismatch.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <numeric>
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

// log p_θ/p_pre of two mixtures at points Y, from many renoisings of each.
void check_log_ratio(double delta) {
  const double terminal = 1 - delta;
  const Mixture before{at::tensor({0.0, 0.0}, at::kDouble).view({1, 2}), at::ones({1}, at::kDouble), 0.8};
  const Mixture after{at::tensor({0.6, -0.2}, at::kDouble).view({1, 2}), at::ones({1}, at::kDouble), 0.6};
  constexpr int64_t samples = 12500, draws = 8;
  double worst = 0;
  for (int point = 0; point < 5; ++point) {
    const at::Tensor y = normal({1, 2}, 20 + static_cast<uint64_t>(point));
    std::vector<double> estimates;
    const std::vector<double> uniform = ops::philox_uniform({12, [] {
                                                               std::vector<uint64_t> streams(samples * draws);
                                                               for (size_t i = 0; i < streams.size(); ++i)
                                                                 streams[i] = i;
                                                               return streams;
                                                             }()});
    std::vector<double> t(samples * draws);
    for (size_t i = 0; i < t.size(); ++i) {
      const auto stratum = static_cast<double>(i % draws / kDrawsAStratum);
      t[i] = std::min(terminal * (stratum + uniform[i]) * kDrawsAStratum / draws, terminal - 1e-5);
    }
    const at::Tensor time = column(t), epsilon = normal({samples * draws, 2}, 40 + static_cast<uint64_t>(point));
    const at::Tensor ys = y.expand({samples * draws, 2});
    const at::Tensor x = ops::renoise(ys, t, {epsilon, {}}, terminal);
    const std::vector<double> terms =
        ops::log_ratio_terms(after.velocity(x, time), before.velocity(x, time), ys, t, {epsilon, {}}, terminal);
    for (int64_t i = 0; i < samples; ++i) {
      const std::vector<double> own(terms.begin() + i * draws, terms.begin() + (i + 1) * draws);
      double total = 0;
      for (const double ratio : log_ratios(own, terminal)) total += ratio / draws;
      estimates.push_back(total);
    }
    const at::Tensor found = at::tensor(estimates, at::kDouble);
    const at::Tensor end = at::full({1, 1}, terminal, at::kDouble);
    const double exact = (after.log_density(y, end) - before.log_density(y, end)).item<double>();
    const double error = found.std().item<double>() / std::sqrt(static_cast<double>(samples));
    worst = std::max(worst, std::abs(found.mean().item<double>() - exact) / error);
  }
  check::report("log ratio of two Gaussians, standard errors, delta " + std::to_string(delta), worst, 3.5);
}

// The mean of (v̂ − v_θ) φ(x_t), and its standard error.
struct Residual {
  double mean, error;
};

constexpr double kDelta = 0.1, kTerminal = 1 - kDelta;

// What mode-aware EAM asks of a network whose law is `model`, φ being 1 between its two modes and 0 elsewhere, or 1
// everywhere: endpoints, λr and its gradient in closed form, the rest as a training step computes it. gain 0: EAM.
Residual residual(const Mixture& model, const Mixture& before, const Mixture& target, double gain, bool between) {
  constexpr int64_t samples = 1 << 14, draws = 6, rows = samples * draws;
  const at::Tensor mode = at::multinomial(model.weights, samples, true);
  const at::Tensor x1 = model.means.index_select(0, mode) + model.std * normal({samples, 1}, 70);
  const at::Tensor endpoint = kTerminal * x1 + kDelta * normal({samples, 1}, 71);
  const at::Tensor end = at::full({samples, 1}, kTerminal, at::kDouble);
  const at::Tensor tilt = target.log_density(endpoint, end) - before.log_density(endpoint, end);
  const at::Tensor score = (kTerminal * target.velocity(endpoint, end) - endpoint) / kDelta;

  const auto repeated = [](const at::Tensor& values) { return values.repeat_interleave(draws, 0); };
  const at::Tensor stratum = at::arange(rows, at::kDouble).remainder(draws).div(kDrawsAStratum, "floor");
  const at::Tensor uniform = at::rand({rows}, at::kDouble);
  const std::vector<double> t =
      numbers(((stratum + uniform) * (kTerminal * kDrawsAStratum / draws)).clamp_max(kTerminal - 1e-5));
  const at::Tensor time = column(t), y = repeated(endpoint), epsilon = normal({rows, 1}, 72);
  const ops::Noise noise{epsilon, {}};
  const at::Tensor x = ops::renoise(y, t, noise, kTerminal), velocity = model.velocity(x, time);

  ModeOptions options;
  options.gain = gain;
  ModeBaseline baseline;
  baseline.load({tilt.mean().item<double>(), 1});
  ModeStep step(options, baseline, numbers(tilt), draws, kTerminal);
  std::vector<int64_t> all(rows);
  std::iota(all.begin(), all.end(), 0);
  const std::vector<double> terms = ops::log_ratio_terms(velocity, before.velocity(x, time), y, t, noise, kTerminal);
  const ops::Loss loss = ops::mode_matching_loss(
      velocity, y, repeated(score), t, noise, {0.6, ops::Weighting::velocity, 20, kTerminal}, step.factors(all, terms));
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
  }
  const Residual blind = residual(mixture(shift, 0.5), before, target, 0, true);
  const Residual less = residual(mixture(shift, 0.5), before, target, 0.5, true);
  const Residual more = residual(mixture(shift, low / 8), before, target, 0.5, true);
  check::report("EAM alone sees no wrong weights, standard errors", std::abs(blind.mean) / blind.error, 5);
  check::report("too much in the low mode is pushed up, of 4 errors", 4 * less.error / less.mean, 1);
  check::report("too little in the low mode is pushed down, of 4 errors", -4 * more.error / more.mean, 1);
}

void check_factors() {
  // Constant terms c over [0, t*] integrate to c t*, whichever draw is left out.
  const std::vector<double> constant = log_ratios({2, 2, 2, 2, 2, 2}, 0.9);
  check::report("log ratio of constant terms", std::abs(constant[3] - 1.8), 1e-14);
  const std::vector<double> one = log_ratios({6, 0, 0, 0}, 0.8);
  check::report("a draw does not see itself", std::abs(one[0]) + std::abs(one[1] - 2.4) + std::abs(one[2] - 1.2),
                1e-14);

  const ModeOptions options;
  ModeBaseline baseline;
  ModeStep step(options, baseline, {-50, 0.01, 50}, 4, 0.9);
  const std::vector<int64_t> rows = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> s = step.factors(rows, {0, 0, 0, 0, 0, nan, 0, 0, 0, 0, 0, 0});
  check::report("s is at least -1 and at most its ceiling", s[0] == -1 && s[8] == options.ceiling ? 0 : 1, 0);
  std::vector<float> losses(12, 1);
  step.keep_whole(rows, losses);
  bool whole = true;
  for (size_t row = 0; row < losses.size(); ++row) whole &= std::isnan(losses[row]) == (row / 4 == 1);
  check::report("a term that is not finite loses its sample", whole ? 0 : 1, 0);
  const ModeMetrics metrics = *step.metrics();
  check::report("metrics leave the lost sample out", std::abs(metrics.advantage) + std::abs(metrics.clipped - 1),
                1e-14);
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
