#include "algorithms/modes.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>

#include "algorithms/batch.h"
#include "ops/error.h"

namespace eam {

namespace {

// A step keeps this share of the running values.
constexpr double kMemory = 0.8;
// The conditional velocity does not exist at the terminal time itself.
constexpr double kLastTime = 1e-5;

ModeBaseline::Values spread(const std::vector<double>& values) {
  const double center = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - center) * (value - center);
  const double count = static_cast<double>(values.size());
  return {center, values.size() > 1 ? std::sqrt(squares / (count - 1)) : 0};
}

}  // namespace

std::vector<double> log_ratios(const at::Tensor& endpoint, const RatioPoints& points, int64_t micro_batch,
                               const Cancellation& cancellation, const BothVelocities& velocities) {
  at::NoGradGuard no_grad;
  const int64_t times = points.times, rows = endpoint.size(0) * times * 2;
  const double last = points.terminal_time, width = last / static_cast<double>(times);
  std::vector<uint64_t> streams;
  for (const int64_t number : points.numbers) streams.push_back(stream_of(points.step, number, Purpose::ratio_time));
  const std::vector<double> offsets = ops::philox_uniform({points.seed, streams});
  std::vector<double> result(points.numbers.size());
  for_each_part(rows, micro_batch, cancellation, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> samples;
    std::vector<uint64_t> noise_streams;
    std::vector<double> t, signs;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t point = row / 2, sample = point / times;
      samples.push_back(sample);
      noise_streams.push_back(
          stream_of(points.step, points.numbers[sample] * times + point % times, Purpose::ratio_noise));
      // What the network reads in float32, the kernels read too.
      const double time = width * (static_cast<double>(point % times) + offsets[sample]);
      t.push_back(static_cast<float>(std::min(time, last - kLastTime)));
      signs.push_back(row % 2 == 0 ? 1 : -1);
    }
    const at::Tensor y = select(endpoint, samples);
    const at::Tensor drawn = ops::philox_normal(y.sizes(), {points.seed, noise_streams}, y.scalar_type(), y.device());
    const ops::Noise noise{ops::affine({{drawn, signs}}), {}};
    const at::Tensor x = ops::renoise(y, t, noise, last);
    const auto [trained, pretrained] = velocities(x, at::tensor(t, at::kDouble).to(x.device(), at::kFloat), samples);
    const std::vector<double> terms = ops::log_ratio_terms(trained, pretrained, y, t, noise, last);
    for (size_t i = 0; i < terms.size(); ++i) result[static_cast<size_t>(samples[i])] += width / 2 * terms[i];
  });
  return result;
}

ModeBaseline::Values ModeBaseline::add(const std::vector<double>& advantages) {
  const Values step = spread(advantages);
  if (!running_) {
    running_ = step;
  } else {
    running_->mean = kMemory * running_->mean + (1 - kMemory) * step.mean;
    running_->deviation = kMemory * running_->deviation + (1 - kMemory) * step.deviation;
  }
  return *running_;
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

std::vector<double> mode_factors(const ModeOptions& options, const ModeBaseline::Values& baseline,
                                 const std::vector<double>& advantages) {
  const double gain = options.gain / (options.normalise ? std::max(1.0, baseline.deviation) : 1);
  std::vector<double> factors;
  factors.reserve(advantages.size());
  for (const double advantage : advantages) {
    factors.push_back(std::clamp(gain * (advantage - baseline.mean), options.floor, options.ceiling));
  }
  return factors;
}

ModeMetrics mode_metrics(const ModeOptions& options, const std::vector<double>& ratios,
                         const std::vector<double>& advantages, const std::vector<double>& factors) {
  const ModeBaseline::Values ratio = spread(ratios), advantage = spread(advantages);
  const auto clipped = std::count_if(factors.begin(), factors.end(), [&](double factor) {
    return factor <= options.floor || factor >= options.ceiling;
  });
  return {ratio.mean, ratio.deviation, advantage.mean, advantage.deviation,
          static_cast<double>(clipped) / static_cast<double>(factors.size())};
}

}  // namespace eam
