#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "algorithms/reward_options.h"
#include "algorithms/running_quantile.h"
#include "ops/cancellation.h"
#include "ops/flow_model.h"
#include "ops/ops.h"

namespace eam {

// What one iteration generated, waiting for its reward. Algorithms derive theirs, with what they need besides.
class Rollout {
 public:
  // Samples whose images are made together. Either the graph from the endpoint to the images is kept until the
  // reward's gradient comes, or, where memory is short, `decode` makes the images a second time, with a graph.
  struct Part {
    at::Tensor endpoint, images;
    std::function<at::Tensor(const at::Tensor& endpoint)> decode;
  };
  struct Origin {
    Conditioning conditioning;  // a row a sample
    uint64_t seed, step;
    int64_t samples() const { return conditioning[0].size(0); }
  };

  // forwards: network evaluations so far, one a sample: a batch of B counts B, whatever the micro-batch. jacobian: what
  // gradients are multiplied by past the parts' graphs, for a step from the endpoint to the images that has none.
  Rollout(Origin origin, at::Tensor endpoint, std::vector<Part> parts, int64_t forwards, double jacobian = 1);
  // Samples that were drawn and scored before. reward_gradient: ∂r/∂endpoint, or not defined.
  Rollout(Origin origin, at::Tensor endpoint, at::Tensor reward_gradient);
  virtual ~Rollout() = default;

  const Origin& origin() const { return origin_; }
  // A row is an image: B, one a sample, or a multiple of it, where row r is another image of sample r mod B.
  const at::Tensor& endpoint() const { return endpoint_; }  // where the reward's gradient is taken, [rows, …] float32
  const at::Tensor& images() const { return images_; }  // [rows, channels, H, W], what the reward reads, or undefined
  int64_t forwards() const { return forwards_; }

  // ∂r/∂endpoint from ∂r/∂images, once: the graphs are freed. Without ∂r/∂images, the gradient that came with the
  // samples, not defined where there is none. Error(config) the second time, and Error(shape) for another shape or
  // device than the images'.
  at::Tensor spend(const std::optional<at::Tensor>& reward_grad);

 private:
  const Origin origin_;
  at::Tensor endpoint_, images_;
  std::vector<Part> parts_;
  const int64_t forwards_ = 0;
  const double jacobian_ = 1;
  at::Tensor reward_gradient_;
  bool spent_ = false;
};

// Samples that were drawn and scored once, to be matched in many steps.
struct Endpoints {
  at::Tensor endpoint, velocity;  // Y and v_pre(Y, 1 − δ), [B, …] float32
  at::Tensor reward_gradient;     // ∂r/∂Y, the same; not defined where the reward has none
  int64_t vjps = 0;               // what the gradient took
};

// What the on-policy term that corrects mode weights measured, over the renoisings of the kept samples.
struct ModeMetrics {
  double drift = 0;                // mean of ℓ: an estimate of KL(p_θ ‖ p_pre) at the terminal time, in nats
  double drift_deviation = 0;      // standard deviation of ℓ's estimates
  double advantage = 0;            // mean of A = λr − ℓ
  double advantage_deviation = 0;  // its standard deviation
  double clipped = 0;              // share of the factors s that reached a bound
};

struct StepMetrics {
  double loss = 0;                // mean of per_sample over the kept samples; 0 where none was kept
  std::vector<float> per_sample;  // NaN for a dropped row (those of its terms that were finite did count)
  int64_t dropped = 0;            // samples left out, in all their rows, because something was not finite
  int64_t clipped = 0;            // samples whose reward gradient was clipped at the running quantile
  int64_t capped = 0;             // terms of the loss that reached their cap and gave no gradient
  // Network evaluations of the whole iteration, rollout included, one a sample; vector-Jacobian products through the
  // pretrained network; and backward passes through the trained one.
  int64_t forwards = 0, vjps = 0, backwards = 0;
  double reward_gradient_norm = 0;   // at the endpoint, mean over the kept samples, before λ and clipping
  double score_norm = 0;             // of ∇log p_pre, mean over the kept samples; 0 where the algorithm needs none
  std::optional<ModeMetrics> modes;  // of an algorithm that corrects mode weights
};

// State beyond parameters, as a checkpoint keeps it.
using AlgorithmState = std::map<std::string, std::vector<double>>;

// Error(config) where the reward's gradient will not come and an algorithm, of this name, cannot do without.
void require_gradient(const char* algorithm, bool differentiable);

// One iteration of reward fine-tuning: sample, let somebody score the images, regress the velocity.
class RewardAlgorithm {
 public:
  virtual ~RewardAlgorithm() = default;

  // Samples from noise of shape [B, …] (streams (step, sample, initial_noise) of `seed`). The conditioning has B rows,
  // or one for all. differentiable: whether the reward's gradient will come; Error(config) where it does not and the
  // algorithm cannot do without.
  virtual std::unique_ptr<Rollout> rollout(const Conditioning& conditioning,
                                           const std::optional<Conditioning>& unconditional, at::IntArrayRef shape,
                                           uint64_t seed, uint64_t step, bool differentiable,
                                           const Cancellation& cancellation) = 0;

  // What of a rollout `recall` takes in later steps; spends it. reward_grad: as of `accumulate`. Error(config) of an
  // algorithm that draws anew in every step.
  virtual Endpoints keep(Rollout& rollout, const std::optional<at::Tensor>& reward_grad);

  // A rollout of samples that were kept.
  virtual std::unique_ptr<Rollout> recall(const Conditioning& conditioning,
                                          const std::optional<Conditioning>& unconditional, const Endpoints& endpoints,
                                          uint64_t seed, uint64_t step);

  // Adds ∂loss/∂parameters to the trainable tensors' .grad and spends the rollout. reward_values [rows]: to drop
  // rows whose value is not finite; reward_grad [rows, channels, H, W]: ∂(sum of rewards)/∂images, none for a reward
  // that has no gradient and for samples that were recalled. After a cancellation the gradients hold a part of the
  // batch and must be cleared.
  StepMetrics accumulate(Rollout& rollout, const std::vector<float>& reward_values,
                         const std::optional<at::Tensor>& reward_grad, const Cancellation& cancellation);

  // What a checkpoint must keep for a resumed run to go on the same.
  virtual AlgorithmState state() const;

  // What `load` keeps of `state`; Error for one that it does not take. Reads no state of its own, so that any thread
  // may call it.
  virtual AlgorithmState checked(const AlgorithmState& state) const;

  // Takes what `checked` gave.
  virtual void load(const AlgorithmState& state);

 protected:
  // Error(config) for a model whose pretrained velocity is not kept apart. purpose: what that is there for, for the
  // error.
  RewardAlgorithm(const char* purpose, FlowModel& model, const RewardOptions& options);

  // The images of endpoints, with their graphs or, with decodeSlice, without.
  std::vector<Rollout::Part> decode(const at::Tensor& endpoint, const RewardOptions& options,
                                    const Cancellation& cancellation);

  // The samples whose reward and its gradient, where there is one, are finite.
  struct Kept {
    std::vector<int64_t> samples;  // their numbers in the rollout
    std::vector<double> rewards;   // r, one a kept sample
    at::Tensor reward_gradient;    // ∂r/∂endpoint, clipped, [kept, …]; not defined where there is none
  };

  // Adds the loss's gradient. metrics.per_sample comes with 0 for the kept samples and is added to; NaN drops one.
  // The rollout is one that this kind of algorithm made.
  virtual bool made(const Rollout& rollout) const = 0;
  virtual void match(const Rollout& rollout, Kept kept, const Cancellation& cancellation, StepMetrics& metrics) = 0;

  FlowModel& model_;

 private:
  Kept keep_finite(const std::vector<float>& reward_values, const at::Tensor& reward_gradient, StepMetrics& metrics);

  RunningQuantile reward_gradient_norms_;
};

}  // namespace eam
