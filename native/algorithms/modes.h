#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "algorithms/mode_options.h"
#include "algorithms/reward_algorithm.h"

// The on-policy term that corrects the weights of modes (docs/beyond-the-paper.md): EAM's target knows gradients of log
// densities, which do not say how much probability lies in another mode. The target of a sample's renoisings is moved
// by (b²/Q) s (u − v_θ), u the conditional velocity, with s = clip(g (A − Ā), floor, ceiling) and the advantage A = λr
// − ℓ, ℓ = log p_θ/p_pre at the sample's endpoint. Its fixed point is A constant, p_θ = p*, across modes, too.
namespace eam {

// v_θ and v_pre of rows x [rows, …] at times t [rows]; samples: which endpoint each row comes from.
using BothVelocities = std::function<std::pair<at::Tensor, at::Tensor>(const at::Tensor& x, const at::Tensor& t,
                                                                       const std::vector<int64_t>& samples)>;

// Points of an estimate of ℓ: `times` ones a sample, at each of which ε is drawn once and taken with both signs.
struct RatioPoints {
  int times;
  double terminal_time;
  uint64_t seed, step;
  std::vector<int64_t> numbers;  // of the samples in their batch, which choose their streams
};

// ℓ of each sample: the integral of ops::log_ratio_terms over time. The times are evenly spaced, all moved by one
// random part of their distance, so that the estimate has no bias; opposite signs cancel what is odd in ε, which is
// most of the noise. It shares no random number with the renoisings that are matched: s, too, must not depend on their
// ε. endpoint: [samples, …] at terminal_time; micro_batch: rows of an evaluation, 0 for all at once.
std::vector<double> log_ratios(const at::Tensor& endpoint, const RatioPoints& points, int64_t micro_batch,
                               const Cancellation& cancellation, const BothVelocities& velocities);

// Running mean Ā and standard deviation of the advantages.
class ModeBaseline {
 public:
  struct Values {
    double mean, deviation;
  };

  // The advantages of a step, and the running values with them.
  Values add(const std::vector<double>& advantages);

  std::vector<double> state() const;              // mean and deviation, or nothing before the first step
  void load(const std::vector<double>& numbers);  // Error(checkpoint) for what `state` never gives

 private:
  std::optional<Values> running_;
};

// The factor s of each sample.
std::vector<double> mode_factors(const ModeOptions& options, const ModeBaseline::Values& baseline,
                                 const std::vector<double>& advantages);

ModeMetrics mode_metrics(const ModeOptions& options, const std::vector<double>& ratios,
                         const std::vector<double>& advantages, const std::vector<double>& factors);

}  // namespace eam
