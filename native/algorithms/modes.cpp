#include "algorithms/modes.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "algorithms/batch.h"
#include "ops/error.h"

namespace eam {

namespace {

constexpr double kFloor = -1;
// Of the running values, the share that a step keeps.
constexpr double kMemory = 0.8;

ModeBaseline::Values spread(const std::vector<double>& values) {
  const double center = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - center) * (value - center);
  const double count = static_cast<double>(values.size());
  return {center, values.size() > 1 ? std::sqrt(squares / (count - 1)) : 0};
}

}  // namespace

std::vector<double> log_ratios(const std::vector<double>& terms, double terminal_time) {
  const size_t strata = terms.size() / kDrawsAStratum;
  const double width = terminal_time / static_cast<double>(strata);
  double total = 0;
  for (const double term : terms) total += term / kDrawsAStratum;
  std::vector<double> result;
  for (size_t i = 0; i < terms.size(); ++i) {
    const double other = terms[i ^ 1], own_stratum = (terms[i] + other) / kDrawsAStratum;
    result.push_back(width * (total - own_stratum + other));
  }
  return result;
}

ModeBaseline::Values ModeBaseline::values(const std::vector<double>& tilts) const {
  return running_ ? *running_ : spread(tilts);
}

void ModeBaseline::add(const Values& step) {
  if (!running_) {
    running_ = step;
    return;
  }
  running_->mean = kMemory * running_->mean + (1 - kMemory) * step.mean;
  running_->deviation = kMemory * running_->deviation + (1 - kMemory) * step.deviation;
}

std::vector<double> ModeBaseline::state() const {
  return running_ ? std::vector<double>{running_->mean, running_->deviation} : std::vector<double>{};
}

void ModeBaseline::load(const std::vector<double>& numbers) {
  const bool fits = numbers.empty() ||
                    (numbers.size() == 2 && std::isfinite(numbers[0]) && numbers[1] >= 0 && std::isfinite(numbers[1]));
  if (!fits) {
    throw bad_value("modeBaseline", "a finite mean and a deviation of at least 0, or nothing",
                    words(numbers.size(), " numbers that are not these"), ErrorKind::checkpoint);
  }
  running_.reset();
  if (!numbers.empty()) running_ = Values{numbers[0], numbers[1]};
}

ModeStep::ModeStep(const ModeOptions& options, const ModeBaseline& baseline, std::vector<double> tilts,
                   int64_t renoisings, double terminal_time)
    : options_(options),
      tilts_(std::move(tilts)),
      renoisings_(renoisings),
      terminal_time_(terminal_time),
      baseline_(baseline.values(tilts_)),
      log_ratios_(tilts_.size() * static_cast<size_t>(renoisings), std::numeric_limits<double>::quiet_NaN()),
      factors_(log_ratios_) {}

std::vector<double> ModeStep::factors(const std::vector<int64_t>& rows, const std::vector<double>& terms) {
  const auto group = static_cast<size_t>(renoisings_);
  const double gain = options_.gain / (options_.normalise ? std::max(1.0, baseline_.deviation) : 1);
  std::vector<double> result(rows.size());
  for (size_t first = 0; first < rows.size(); first += group) {
    const std::vector<double> own(terms.begin() + static_cast<std::ptrdiff_t>(first),
                                  terms.begin() + static_cast<std::ptrdiff_t>(first + group));
    const std::vector<double> ratios = log_ratios(own, terminal_time_);
    const bool finite = std::all_of(ratios.begin(), ratios.end(), [](double ratio) { return std::isfinite(ratio); });
    for (size_t i = 0; i < group; ++i) {
      const auto row = static_cast<size_t>(rows[first + i]);
      const double advantage = tilts_[row / group] - ratios[i];
      result[first + i] = finite ? std::clamp(gain * (advantage - baseline_.mean), kFloor, options_.ceiling) : 0;
      log_ratios_[row] = finite ? ratios[i] : std::numeric_limits<double>::quiet_NaN();
      factors_[row] = result[first + i];
    }
  }
  return result;
}

void ModeStep::keep_whole(const std::vector<int64_t>& rows, std::vector<float>& losses) {
  constexpr float kLost = std::numeric_limits<float>::quiet_NaN();
  const auto group = static_cast<std::ptrdiff_t>(renoisings_);
  for (auto loss = losses.begin(); loss != losses.end(); loss += group) {
    const auto row = static_cast<size_t>(rows[static_cast<size_t>(loss - losses.begin())]);
    if (std::isfinite(log_ratios_[row]) &&
        std::all_of(loss, loss + group, [](float value) { return std::isfinite(value); })) {
      continue;
    }
    std::fill(loss, loss + group, kLost);
    std::fill_n(log_ratios_.begin() + static_cast<std::ptrdiff_t>(row), group, kLost);
  }
}

std::optional<ModeMetrics> ModeStep::metrics() const {
  std::vector<double> ratios, advantages;
  double clipped = 0;
  for (size_t row = 0; row < log_ratios_.size(); ++row) {
    if (!std::isfinite(log_ratios_[row])) continue;
    ratios.push_back(log_ratios_[row]);
    advantages.push_back(tilts_[row / static_cast<size_t>(renoisings_)] - log_ratios_[row]);
    clipped += factors_[row] <= kFloor || factors_[row] >= options_.ceiling;
  }
  if (ratios.empty()) return std::nullopt;
  const ModeBaseline::Values ratio = spread(ratios), advantage = spread(advantages);
  return ModeMetrics{ratio.mean, ratio.deviation, advantage.mean, advantage.deviation,
                     clipped / static_cast<double>(ratios.size())};
}

}  // namespace eam
