#include "algorithms/eam.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "algorithms/batch.h"
#include "algorithms/sampler.h"
#include "ops/error.h"

namespace eam {

namespace {

EamOptions validated(const EamOptions& options) {
  const auto check = [](bool valid, const char* name, double value, const char* expected) {
    if (valid) return;
    std::ostringstream message;
    message << name << " is " << value << ", expected " << expected;
    throw Error(ErrorKind::config, message.str());
  };
  check(options.C > 0.5 && std::isfinite(options.C), "C", options.C, "a number above 0.5");
  check(std::isfinite(options.lambda), "lambda", options.lambda, "a finite number");
  check(options.delta > 0 && options.delta < 1, "delta", options.delta, "a number between 0 and 1");
  check(options.steps >= 1, "steps", options.steps, "at least 1");
  check(options.renoisings >= 1, "renoisings", options.renoisings, "at least 1");
  check(options.cap > 0, "cap", options.cap, "a number above 0");
  check(std::isfinite(options.guidance), "guidance", options.guidance, "a finite number");
  check(options.micro_batch >= 0, "microBatch", options.micro_batch, "at least 1, or 0 for all samples at once");
  if (options.reward_through_denoiser && options.terminal == Terminal::plugin) {
    throw Error(ErrorKind::config, "rewardThroughDenoiser needs terminal 'consistent': with 'plugin' the reward reads "
                                   "the endpoint itself, not a denoised estimate");
  }
  return options;
}

// The Euclidean norm of each sample.
std::vector<double> norms(const at::Tensor& samples) {
  const at::Tensor norm = samples.flatten(1).norm(2, {1}).to(at::kCPU, at::kDouble).contiguous();
  return {norm.const_data_ptr<double>(), norm.const_data_ptr<double>() + norm.numel()};
}

at::Tensor index_tensor(const std::vector<int64_t>& rows, at::Device device) {
  return at::tensor(at::ArrayRef<int64_t>(rows), at::kLong).to(device);
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

}  // namespace

// The kept samples of a rollout with what the loss needs of them.
struct Eam::Terminals {
  std::vector<int64_t> samples;      // their numbers in the rollout
  at::Tensor endpoint, gradient;     // Y or X_1, and G: [kept, …]
  Conditioning conditioning;         // [kept, …]
};

Eam::Eam(FlowModel& model, const EamOptions& options)
    : model_(model), options_(validated(options)), reward_gradient_norms_(options.reward_gradient_quantile) {
  if (!model.pretrained_is_frozen()) {
    throw Error(ErrorKind::config, "the model has no adapters, so training it would change the pretrained model that "
                                   "EAM matches against: load it with an adapter");
  }
}

double Eam::terminal_time() const { return options_.terminal == Terminal::consistent ? 1 - options_.delta : 1; }

Rollout Eam::rollout(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                     at::IntArrayRef shape, uint64_t seed, uint64_t step, const Cancellation& cancellation) {
  if (!shape.empty() && shape[0] > kMaxSamples / options_.renoisings) {
    throw Error(ErrorKind::config, "a batch of " + std::to_string(shape[0]) + " with " +
                                       std::to_string(options_.renoisings) + " renoisings a sample, expected at most " +
                                       std::to_string(kMaxSamples) + " in all");
  }
  SamplerOptions sampler;
  sampler.solver = options_.solver;
  sampler.times = uniform_times(options_.steps, terminal_time());
  sampler.guidance = options_.guidance;
  sampler.micro_batch = options_.micro_batch;
  const Samples samples = sample(model_, conditioning, unconditional, shape, sampler, {seed, step, 0}, cancellation);

  Rollout rollout;
  rollout.endpoint_ = samples.latents;
  rollout.seed_ = seed;
  rollout.step_ = step;
  const int64_t batch = shape[0];
  rollout.conditioning_ = expand(conditioning, batch, "conditioning");
  rollout.forwards_ = samples.forwards + batch;

  const int64_t size = options_.micro_batch > 0 ? std::min<int64_t>(options_.micro_batch, batch) : batch;
  std::vector<at::Tensor> velocities, images;
  for (int64_t begin = 0; begin < batch; begin += size) {
    cancellation.check();
    const int64_t end = std::min(begin + size, batch);
    const at::Tensor leaf = rollout.endpoint_.slice(0, begin, end).detach().requires_grad_(true);
    const at::Tensor t = at::full({end - begin}, 1 - options_.delta, at::device(leaf.device()).dtype(at::kFloat));
    const Conditioning rows = slice(rollout.conditioning_, begin, end);
    at::Tensor velocity;
    {
      at::AutoGradMode through(options_.reward_through_denoiser);
      velocity = model_.pretrained_velocity(leaf, t, rows);
    }
    const at::Tensor data =
        options_.terminal == Terminal::consistent ? at::add(leaf, velocity, options_.delta) : leaf;
    rollout.parts_.push_back({leaf, model_.images(data)});
    velocities.push_back(velocity.detach());
    images.push_back(rollout.parts_.back().images.detach());
  }
  rollout.pretrained_velocity_ = at::cat(velocities);
  rollout.images_ = at::cat(images);
  return rollout;
}

at::Tensor Eam::reward_gradient_at_endpoint(Rollout& rollout, const at::Tensor& reward_grad) const {
  std::vector<at::Tensor> gradients;
  int64_t begin = 0;
  for (const Rollout::Part& part : rollout.parts_) {
    const int64_t end = begin + part.leaf.size(0);
    const at::Tensor upstream = reward_grad.slice(0, begin, end).to(part.images.options());
    gradients.push_back(torch::autograd::grad({part.images}, {part.leaf}, {upstream})[0]);
    begin = end;
  }
  rollout.parts_.clear();
  return at::cat(gradients);
}

Eam::Terminals Eam::terminals(Rollout& rollout, const std::vector<float>& reward_values, const at::Tensor& reward_grad,
                              StepMetrics& metrics) {
  const int64_t batch = rollout.endpoint_.size(0);
  const double time = 1 - options_.delta;
  const at::Tensor reward_gradient = reward_gradient_at_endpoint(rollout, reward_grad);
  // (t v − x)/(1 − t), for the metric; the kernel below has it in registers.
  const std::vector<double> score_norms = norms(ops::affine(
      {{rollout.pretrained_velocity_, {time / (1 - time)}}, {rollout.endpoint_, {-1 / (1 - time)}}}));
  const std::vector<double> reward_norms = norms(reward_gradient);

  Terminals kept;
  std::vector<double> kept_reward_norms, kept_score_norms;
  for (int64_t b = 0; b < batch; ++b) {
    if (!std::isfinite(reward_values[b]) || !std::isfinite(reward_norms[b]) || !std::isfinite(score_norms[b])) continue;
    kept.samples.push_back(b);
    kept_reward_norms.push_back(reward_norms[b]);
    kept_score_norms.push_back(score_norms[b]);
  }
  metrics.reward_gradient_norm = mean(kept_reward_norms);
  metrics.score_norm = mean(kept_score_norms);
  if (kept.samples.empty()) return kept;

  std::vector<double> scale(kept.samples.size(), 1);
  if (options_.reward_gradient_quantile < 1) {
    for (const double norm : kept_reward_norms) reward_gradient_norms_.add(norm);
    const double threshold = reward_gradient_norms_.threshold();
    for (size_t i = 0; i < scale.size(); ++i) {
      if (kept_reward_norms[i] <= threshold) continue;
      scale[i] = threshold / kept_reward_norms[i];
      ++metrics.clipped;
    }
  }

  const at::Tensor rows = index_tensor(kept.samples, rollout.endpoint_.device());
  kept.endpoint = rollout.endpoint_.index_select(0, rows);
  kept.conditioning = select(rollout.conditioning_, rows);
  at::Tensor kept_gradient = reward_gradient.index_select(0, rows);
  if (metrics.clipped > 0) kept_gradient = ops::affine({{kept_gradient, scale}});
  kept.gradient = ops::terminal_gradient(kept.endpoint, rollout.pretrained_velocity_.index_select(0, rows),
                                         kept_gradient, options_.lambda, time);
  return kept;
}

// One evaluation of the trained network: renoisings begin ≤ i < end of the kept samples, M consecutive ones a sample.
void Eam::match(const Rollout& rollout, const Terminals& terminals, int64_t begin, int64_t end, StepMetrics& metrics) {
  const int64_t renoisings = options_.renoisings;
  const double last = terminal_time();
  std::vector<int64_t> rows;  // of `terminals`
  ops::PhiloxNoise time_streams{rollout.seed_, {}};
  ops::Noise noise{std::nullopt, {rollout.seed_, {}}};
  std::vector<int64_t> strata;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t m = i % renoisings, number = terminals.samples[i / renoisings] * renoisings + m;
    rows.push_back(i / renoisings);
    strata.push_back(m);
    time_streams.streams.push_back(stream_of(rollout.step_, number, Purpose::time));
    noise.philox.streams.push_back(stream_of(rollout.step_, number, Purpose::renoise));
  }
  std::vector<double> t = ops::philox_uniform(time_streams);
  for (size_t i = 0; i < t.size(); ++i) {
    // What the network reads in float32, the kernels read too; rounding must not pass the terminal time.
    auto time = static_cast<float>(last * (static_cast<double>(strata[i]) + t[i]) / static_cast<double>(renoisings));
    if (time > last) time = std::nextafter(time, 0.0f);
    t[i] = time;
  }

  while (!rows.empty()) {
    const at::Tensor index = index_tensor(rows, terminals.endpoint.device());
    const at::Tensor x1 = terminals.endpoint.index_select(0, index);
    const at::Tensor x = ops::renoise(x1, t, noise, last);
    const at::Tensor velocity = model_.velocity(x, at::tensor(t, at::kDouble).to(x.device(), at::kFloat),
                                                select(terminals.conditioning, index));
    metrics.forwards += static_cast<int64_t>(rows.size());
    ops::Loss loss = ops::matching_loss(velocity.detach(), x1, terminals.gradient.index_select(0, index), t, noise,
                                        {options_.C, options_.weighting, options_.cap, last});

    std::vector<int64_t> finite;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (std::isfinite(loss.per_sample[i])) {
        finite.push_back(static_cast<int64_t>(i));
      } else {
        metrics.per_sample[terminals.samples[rows[i]]] = std::numeric_limits<float>::quiet_NaN();
      }
    }
    if (finite.size() == rows.size()) {
      for (size_t i = 0; i < rows.size(); ++i) {
        metrics.per_sample[terminals.samples[rows[i]]] += loss.per_sample[i] / static_cast<float>(renoisings);
      }
      const auto total = static_cast<double>(terminals.samples.size() * renoisings);
      torch::autograd::backward({velocity}, {loss.grad.mul_(static_cast<double>(rows.size()) / total)});
      metrics.backwards += static_cast<int64_t>(rows.size());
      return;
    }
    // Through the backward pass a value that is not finite would reach every weight: evaluate again without it.
    const auto keep = [&finite](auto& values) {
      for (size_t i = 0; i < finite.size(); ++i) values[i] = values[finite[i]];
      values.resize(finite.size());
    };
    keep(rows);
    keep(t);
    keep(noise.philox.streams);
  }
}

StepMetrics Eam::accumulate(Rollout& rollout, const std::vector<float>& reward_values, const at::Tensor& reward_grad,
                            const Cancellation& cancellation) {
  if (rollout.parts_.empty()) {
    throw Error(ErrorKind::config, "the rollout was already used: each one serves a single accumulate");
  }
  const int64_t batch = rollout.endpoint_.size(0);
  std::ostringstream message;
  if (static_cast<int64_t>(reward_values.size()) != batch) {
    message << "rewardValues has " << reward_values.size() << " entries, expected one for each of the " << batch
            << " images";
  } else if (reward_grad.sizes() != rollout.images_.sizes()) {
    message << "rewardGrad has shape " << reward_grad.sizes() << ", expected that of the images, "
            << rollout.images_.sizes();
  } else if (reward_grad.device() != rollout.images_.device()) {
    message << "rewardGrad is on " << reward_grad.device() << ", the images are on " << rollout.images_.device();
  }
  if (!message.str().empty()) throw Error(ErrorKind::shape, message.str());

  cancellation.check();
  StepMetrics metrics;
  metrics.forwards = rollout.forwards_;
  metrics.vjps = options_.reward_through_denoiser ? batch : 0;
  metrics.per_sample.assign(batch, std::numeric_limits<float>::quiet_NaN());
  const Terminals kept = terminals(rollout, reward_values, reward_grad, metrics);
  for (const int64_t b : kept.samples) metrics.per_sample[b] = 0;

  const int64_t total = static_cast<int64_t>(kept.samples.size()) * options_.renoisings;
  const int64_t size = options_.micro_batch > 0 ? options_.micro_batch : total;
  for (int64_t begin = 0; begin < total; begin += size) {
    cancellation.check();
    match(rollout, kept, begin, std::min(begin + size, total), metrics);
  }

  int64_t finite = 0;
  for (float& value : metrics.per_sample) {
    if (std::isfinite(value)) {
      metrics.loss += value;
      ++finite;
    } else {
      value = std::numeric_limits<float>::quiet_NaN();
    }
  }
  if (finite > 0) metrics.loss /= static_cast<double>(finite);
  metrics.dropped = batch - finite;
  return metrics;
}

}  // namespace eam
