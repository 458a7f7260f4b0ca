#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "algorithms/mode_options.h"
#include "algorithms/reward_algorithm.h"

// The on-policy term that corrects the weights of modes (docs/beyond-the-paper.md): EAM's target knows gradients of log
// densities, which do not say how much probability lies in another mode. Each renoising's target is moved by
// (b²/Q) s (u − v_θ), u the conditional velocity, with s = clip(g (A − Ā), −1, ceiling) and the advantage A = λr − ℓ,
// ℓ = log p_θ/p_pre at the sample's endpoint. Its fixed point is A constant, p_θ = p*, across modes, too.
namespace eam {

// Renoisings of one stratum of times, whose two draws estimate ℓ without each other's noise.
constexpr int kDrawsAStratum = 2;

// ℓ of each renoising of one sample from the terms f of the log ratio's integral (ops::log_ratio_terms): the mean of
// each stratum's two terms, but in a renoising's own stratum the other draw's alone, so that its noise, which is in its
// target, is not in its ℓ. terms: two a stratum, strata of equal width from time 0 to terminal_time.
std::vector<double> log_ratios(const std::vector<double>& terms, double terminal_time);

// The running mean Ā and deviation of advantages: of the steps before, so that they do not depend on how a batch is
// split.
class ModeBaseline {
 public:
  // What the next step takes off and divides by; before the first step, where ℓ is 0, those of `tilts`, λr of its
  // samples.
  struct Values {
    double mean, deviation;
  };
  Values values(const std::vector<double>& tilts) const;

  void add(const Values& step);

  std::vector<double> state() const;              // mean and deviation, or nothing before the first step
  void load(const std::vector<double>& numbers);  // Error(checkpoint) for what `state` never gives

 private:
  std::optional<Values> running_;
};

// One step's factors.
class ModeStep {
 public:
  // tilts: λr of each kept sample; renoisings: M of each.
  ModeStep(const ModeOptions& options, const ModeBaseline& baseline, std::vector<double> tilts, int64_t renoisings,
           double terminal_time);

  // The factors s of whole samples' renoisings, in order: rows are renoising numbers, M consecutive ones a sample,
  // terms their log_ratio_terms. A sample with a term that is not finite gets zeros, and is lost.
  std::vector<double> factors(const std::vector<int64_t>& rows, const std::vector<double>& terms);

  // NaN in `losses`, one a row, for every renoising of a sample that is lost or has a loss that is not finite: without
  // one of them the others have no log ratio.
  void keep_whole(const std::vector<int64_t>& rows, std::vector<float>& losses);

  // What was measured, and what the baseline takes; nothing where no sample was left.
  std::optional<ModeMetrics> metrics() const;

 private:
  const ModeOptions options_;
  const std::vector<double> tilts_;
  const int64_t renoisings_;
  const double terminal_time_;
  const ModeBaseline::Values baseline_;
  std::vector<double> log_ratios_, factors_;  // one a renoising; NaN where its sample was lost
};

}  // namespace eam
