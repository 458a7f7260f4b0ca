#include "algorithms/reward_algorithm.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "algorithms/batch.h"
#include "ops/error.h"
#include "ops/stage.h"

namespace eam {

Rollout::Rollout(Origin origin, at::Tensor endpoint, std::vector<Part> parts, int64_t forwards, double jacobian)
    : origin_(std::move(origin)),
      endpoint_(std::move(endpoint)),
      parts_(std::move(parts)),
      forwards_(forwards),
      jacobian_(jacobian) {
  std::vector<at::Tensor> images;
  for (const Part& part : parts_) images.push_back(part.images.detach());
  images_ = images.size() == 1 ? images[0] : at::cat(images);
}

Rollout::Rollout(Origin origin, at::Tensor endpoint, at::Tensor reward_gradient)
    : origin_(std::move(origin)), endpoint_(std::move(endpoint)), reward_gradient_(std::move(reward_gradient)) {}

at::Tensor Rollout::spend(const std::optional<at::Tensor>& reward_grad) {
  if (spent_) throw Error(ErrorKind::config, "the rollout was already used: each one serves a single accumulate");
  if (!reward_grad) {
    spent_ = true;
    parts_.clear();
    return reward_gradient_;
  }
  if (!images_.defined()) throw bad_value("rewardGrad", "none: the samples were recalled, with their gradient", "one");
  if (reward_grad->sizes() != images_.sizes()) {
    throw bad_shape("rewardGrad", words("the images' shape, ", images_.sizes()), reward_grad->sizes());
  }
  if (reward_grad->device() != images_.device()) {
    throw bad_shape("rewardGrad", words("the images' device, ", images_.device()), reward_grad->device());
  }
  spent_ = true;
  std::vector<at::Tensor> gradients;
  int64_t begin = 0;
  for (const Part& part : parts_) {
    const int64_t end = begin + part.endpoint.size(0);
    const at::Tensor images = part.decode ? part.decode(part.endpoint) : part.images;
    const at::Tensor upstream = reward_grad->slice(0, begin, end).to(images.options());
    gradients.push_back(torch::autograd::grad({images}, {part.endpoint}, {upstream})[0]);
    begin = end;
  }
  parts_.clear();
  at::Tensor gradient = at::cat(gradients);
  return jacobian_ == 1 ? gradient : gradient.mul_(jacobian_);
}

void require_gradient(const char* algorithm, bool differentiable) {
  if (differentiable) return;
  throw Error(ErrorKind::config,
              words(algorithm, " cannot do without the reward's gradient; Eam with modes, or with the endpoints ",
                    "\"pretrained\", can"));
}

RewardAlgorithm::RewardAlgorithm(const char* purpose, FlowModel& model, const RewardOptions& options)
    : model_(model), reward_gradient_norms_(options.reward_gradient_quantile) {
  if (!model.pretrained_is_frozen()) {
    throw Error(ErrorKind::config,
                words("the model has no adapters, so training it would change the pretrained model that ", purpose,
                      ": load it with an adapter, or name its `pretrained` velocity"));
  }
}

std::vector<Rollout::Part> RewardAlgorithm::decode(const at::Tensor& endpoint, const RewardOptions& options,
                                                   const Cancellation& cancellation) {
  std::vector<Rollout::Part> parts;
  const bool keep_graph = options.decode_slice == 0;
  const int part_size = keep_graph ? options.micro_batch : options.decode_slice;
  for_each_part(endpoint.size(0), part_size, cancellation, [&](int64_t begin, int64_t end) {
    const at::Tensor leaf = endpoint.slice(0, begin, end).detach().requires_grad_(true);
    at::AutoGradMode with_graph(keep_graph);
    const ops::Stage stage("eam::stage::decoding");
    Rollout::Part part{leaf, model_.images(leaf), {}};
    if (!keep_graph) part.decode = [this](const at::Tensor& rows) { return model_.images(rows); };
    parts.push_back(std::move(part));
  });
  return parts;
}

RewardAlgorithm::Kept RewardAlgorithm::keep_finite(const std::vector<float>& reward_values,
                                                   const at::Tensor& reward_gradient, StepMetrics& metrics) {
  // A reward without a gradient counts as one whose gradient is 0.
  const std::vector<double> all_norms =
      reward_gradient.defined() ? norms(reward_gradient) : std::vector<double>(reward_values.size());
  Kept kept;
  std::vector<double> kept_norms;
  for (size_t b = 0; b < all_norms.size(); ++b) {
    if (!std::isfinite(reward_values[b]) || !std::isfinite(all_norms[b])) continue;
    kept.samples.push_back(static_cast<int64_t>(b));
    kept.rewards.push_back(reward_values[b]);
    kept_norms.push_back(all_norms[b]);
  }
  metrics.reward_gradient_norm = mean(kept_norms);
  if (kept.samples.empty() || !reward_gradient.defined()) return kept;

  std::vector<double> scale(kept_norms.size(), 1);
  if (reward_gradient_norms_.quantile() < 1) {
    for (const double norm : kept_norms) reward_gradient_norms_.add(norm);
    const double threshold = reward_gradient_norms_.threshold();
    for (size_t i = 0; i < scale.size(); ++i) {
      if (kept_norms[i] <= threshold) continue;
      scale[i] = threshold / kept_norms[i];
      ++metrics.clipped;
    }
  }
  kept.reward_gradient = select(reward_gradient, kept.samples);
  if (metrics.clipped > 0) kept.reward_gradient = ops::affine({{kept.reward_gradient, scale}});
  return kept;
}

namespace {
constexpr const char* kNorms = "rewardGradientNorms";
}

AlgorithmState RewardAlgorithm::state() const {
  return {{kNorms, reward_gradient_norms_.values()}};
}

AlgorithmState RewardAlgorithm::checked(const AlgorithmState& state) const {
  const auto norms = state.find(kNorms);
  if (norms == state.end()) throw bad_value(kNorms, "numbers", "none");
  RunningQuantile kept(1);
  kept.load(norms->second);
  return {{kNorms, kept.values()}};
}

void RewardAlgorithm::load(const AlgorithmState& state) {
  reward_gradient_norms_.load(state.at(kNorms));
}

Endpoints RewardAlgorithm::keep(Rollout&, const std::optional<at::Tensor>&) {
  throw Error(ErrorKind::config, "this algorithm draws anew in every step: it keeps no endpoints");
}

std::unique_ptr<Rollout> RewardAlgorithm::recall(const Conditioning&, const std::optional<Conditioning>&,
                                                 const Endpoints&, uint64_t, uint64_t) {
  throw Error(ErrorKind::config, "this algorithm draws anew in every step: it recalls no endpoints");
}

StepMetrics RewardAlgorithm::accumulate(Rollout& rollout, const std::vector<float>& reward_values,
                                        const std::optional<at::Tensor>& reward_grad,
                                        const Cancellation& cancellation) {
  if (!made(rollout)) throw Error(ErrorKind::config, "the rollout was made by another algorithm");
  const int64_t batch = rollout.endpoint().size(0);
  if (static_cast<int64_t>(reward_values.size()) != batch) {
    throw bad_shape("rewardValues", words("one entry for each of the ", batch, " images"), reward_values.size());
  }

  cancellation.check();
  StepMetrics metrics;
  metrics.forwards = rollout.forwards();
  metrics.per_sample.assign(batch, std::numeric_limits<float>::quiet_NaN());
  const at::Tensor gradient = [&] {
    const ops::Stage stage("eam::stage::rewardGradient");
    return rollout.spend(reward_grad);
  }();
  Kept kept = keep_finite(reward_values, gradient, metrics);
  for (const int64_t b : kept.samples) metrics.per_sample[b] = 0;
  {
    const ops::Stage stage("eam::stage::matching");
    match(rollout, std::move(kept), cancellation, metrics);
  }

  int64_t finite = 0;
  const int64_t samples = rollout.origin().samples();
  std::vector<bool> counts(samples);
  for (int64_t row = 0; row < batch; ++row) {
    float& value = metrics.per_sample[row];
    if (std::isfinite(value)) {
      metrics.loss += value;
      ++finite;
      counts[row % samples] = true;
    } else {
      value = std::numeric_limits<float>::quiet_NaN();
    }
  }
  if (finite > 0) metrics.loss /= static_cast<double>(finite);
  metrics.dropped = std::count(counts.begin(), counts.end(), false);
  return metrics;
}

}  // namespace eam
