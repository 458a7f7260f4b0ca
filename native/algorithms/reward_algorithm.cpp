#include "algorithms/reward_algorithm.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "algorithms/batch.h"
#include "ops/error.h"
#include "ops/stage.h"

namespace eam {

Rollout::Rollout(Origin origin, at::Tensor endpoint, Decoding decoding, int64_t forwards, double jacobian)
    : origin_(std::move(origin)),
      endpoint_(std::move(endpoint)),
      decoding_(std::move(decoding)),
      forwards_(forwards),
      jacobian_(jacobian),
      is_carried_(endpoint_.size(0)) {}

Rollout::Rollout(Origin origin, at::Tensor endpoint, at::Tensor reward_gradient)
    : origin_(std::move(origin)), endpoint_(std::move(endpoint)), reward_gradient_(std::move(reward_gradient)) {}

int64_t Rollout::slice() const {
  const int64_t rows = endpoint_.size(0);
  return decoding_.slice > 0 ? std::min(decoding_.slice, rows) : rows;
}

at::Tensor Rollout::decode(int64_t begin, int64_t end, bool keep_graph, const Cancellation& cancellation) {
  if (!decoding_.images) throw Error(ErrorKind::config, "the samples were recalled, so they have no images");
  if (spent_) throw Error(ErrorKind::config, "the rollout was already used: its images are decoded before that");
  const int64_t rows = endpoint_.size(0);
  if (begin < 0 || end <= begin || end > rows) {
    throw bad_value("rows", words("a part of the ", rows, " that there are"), words(begin, " to ", end));
  }
  kept_.clear();
  std::vector<at::Tensor> images;
  for_each_part(end - begin, decoding_.part, cancellation, [&](int64_t first, int64_t last) {
    const at::Tensor leaf = endpoint_.slice(0, begin + first, begin + last).detach().requires_grad_(keep_graph);
    at::AutoGradMode with_graph(keep_graph);
    at::Tensor part = decoding_.images(*this, leaf, begin + first);
    images.push_back(part.detach());
    if (keep_graph) kept_.push_back({begin + first, leaf, std::move(part)});
  });
  return images.size() == 1 ? images[0] : at::cat(images);
}

// Checks the reward's gradient of the slice that is kept. rows: that the gradient has in all.
void Rollout::check_gradient(const at::Tensor& reward_grad, int64_t rows) const {
  std::vector<int64_t> wanted = kept_[0].images.sizes().vec();
  wanted[0] = rows;
  if (reward_grad.sizes() != wanted) {
    throw bad_shape("rewardGrad", words("the images' shape, ", at::IntArrayRef(wanted)), reward_grad.sizes());
  }
  if (reward_grad.device() != endpoint_.device()) {
    throw bad_shape("rewardGrad", words("the images' device, ", endpoint_.device()), reward_grad.device());
  }
}

void Rollout::carry(const at::Tensor& reward_grad) {
  if (kept_.empty()) {
    throw Error(ErrorKind::config, "no slice of images waits for the reward's gradient: decode one with its graph");
  }
  const int64_t first = kept_[0].begin, last = kept_.back().begin + kept_.back().endpoint.size(0);
  check_gradient(reward_grad, last - first);
  const ops::Stage stage("eam::stage::rewardGradient");
  if (!reward_gradient_.defined()) reward_gradient_ = at::zeros_like(endpoint_);
  for (Part& part : kept_) {
    const int64_t begin = part.begin, end = begin + part.endpoint.size(0);
    const at::Tensor upstream = reward_grad.slice(0, begin - first, end - first).to(part.images.options());
    // The part's images, and with them its graph, are freed as soon as its gradient is there.
    const at::Tensor images = std::exchange(part.images, at::Tensor());
    reward_gradient_.slice(0, begin, end).add_(torch::autograd::grad({images}, {part.endpoint}, {upstream})[0]);
    std::fill(is_carried_.begin() + begin, is_carried_.begin() + end, true);
    carried_ += end - begin;
  }
  kept_.clear();
}

at::Tensor Rollout::spend(const std::optional<at::Tensor>& reward_grad, const Cancellation& cancellation) {
  if (spent_) throw Error(ErrorKind::config, "the rollout was already used: each one serves a single accumulate");
  if (!decoding_.images) {
    if (reward_grad) throw bad_value("rewardGrad", "none: the samples were recalled, with their gradient", "one");
    spent_ = true;
    return reward_gradient_;
  }
  const int64_t rows = endpoint_.size(0);
  if (reward_grad) {
    const auto carry_all = [&](int64_t begin, int64_t end) {
      check_gradient(*reward_grad, rows);
      carry(reward_grad->slice(0, begin, end));
    };
    const bool is_kept =
        !kept_.empty() && kept_[0].begin == 0 && kept_.back().begin + kept_.back().endpoint.size(0) == rows;
    if (is_kept) {
      carry_all(0, rows);
    } else {
      for_each_part(rows, decoding_.slice > 0 ? decoding_.slice : decoding_.part, cancellation,
                    [&](int64_t begin, int64_t end) {
                      decode(begin, end, true, cancellation);
                      carry_all(begin, end);
                    });
    }
  }
  const auto carried = std::count(is_carried_.begin(), is_carried_.end(), true);
  if (carried != 0 && carried != rows) {
    throw Error(ErrorKind::config, words("the reward's gradient was carried for ", carried, " of ", rows, " samples"));
  }
  spent_ = true;
  kept_.clear();
  if (jacobian_ != 1 && reward_gradient_.defined()) reward_gradient_.mul_(jacobian_);
  return reward_gradient_;
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

Rollout::Decoding RewardAlgorithm::decoding(const RewardOptions& options) {
  const int64_t slice = options.decode_slice.value_or(0);
  return {[this](Rollout&, const at::Tensor& endpoint, int64_t) { return decoded(endpoint); }, slice,
          slice > 0 ? slice : options.micro_batch};
}

at::Tensor RewardAlgorithm::decoded(const at::Tensor& latents) {
  const ops::Stage stage("eam::stage::decoding");
  return model_.images(latents);
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

Endpoints RewardAlgorithm::keep(Rollout&, const std::optional<at::Tensor>&, const Cancellation&) {
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
  metrics.per_sample.assign(batch, std::numeric_limits<float>::quiet_NaN());
  const at::Tensor gradient = rollout.spend(reward_grad, cancellation);
  metrics.forwards = rollout.forwards();
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
