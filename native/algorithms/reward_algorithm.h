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
//
// Images are decoded a slice at a time: `decode` makes those of a slice and keeps the graph from its endpoints to them,
// the caller scores them, and `carry` takes the reward's gradient back to the endpoints and frees the graph. So one
// slice's graph is in memory at a time, and each image is decoded once. A reward that reads the whole batch at once is
// given all images without a graph; the gradient that `spend` is then given decodes them again, slice by slice.
class Rollout {
 public:
  // How endpoints become images.
  struct Decoding {
    // The images of endpoints [n, …], those of the rows from `begin` on, with a graph where autograd records one.
    std::function<at::Tensor(Rollout& rollout, const at::Tensor& endpoint, int64_t begin)> images;
    int64_t slice = 0;  // rows that are scored at a time; 0: all
    int64_t part = 0;   // rows of a slice that are decoded at a time; 0: all
  };
  struct Origin {
    Conditioning conditioning;  // a row a sample
    uint64_t seed, step;
    int64_t samples() const { return conditioning[0].size(0); }
  };

  // forwards: network evaluations so far, one a sample: a batch of B counts B, whatever the micro-batch. jacobian: what
  // gradients are multiplied by past the images' graphs, for a step from the endpoint to the images that has none.
  Rollout(Origin origin, at::Tensor endpoint, Decoding decoding, int64_t forwards, double jacobian = 1);
  // Samples that were drawn and scored before. reward_gradient: ∂r/∂endpoint, or not defined.
  Rollout(Origin origin, at::Tensor endpoint, at::Tensor reward_gradient);
  virtual ~Rollout() = default;

  const Origin& origin() const { return origin_; }
  // A row is an image: B, one a sample, or a multiple of it, where row r is another image of sample r mod B.
  const at::Tensor& endpoint() const { return endpoint_; }  // where the reward's gradient is taken, [rows, …] float32
  int64_t slice() const;                                    // rows that are scored at a time, at least 1
  int64_t forwards() const { return forwards_; }
  int64_t carried() const { return carried_; }  // gradients that were taken back, one a row

  // The images [end − begin, channels, H, W] of some rows, without a graph of their own. keep_graph: for `carry`; the
  // graph of the slice before is freed. Error(config) for rows that there are not, and for samples that were recalled.
  at::Tensor decode(int64_t begin, int64_t end, bool keep_graph, const Cancellation& cancellation);

  // Adds ∂r/∂endpoint of the slice that was decoded last, from ∂r/∂images, and frees its graph. Error(config) where no
  // graph was kept, and Error(shape) for another shape or device than the images'.
  void carry(const at::Tensor& reward_grad);

  // ∂r/∂endpoint, once: what was carried, and of `reward_grad`, ∂r/∂images of all rows, where that is given. Not
  // defined where there is neither. Error(config) the second time and where some rows alone were carried, and
  // Error(shape) as of `carry`.
  at::Tensor spend(const std::optional<at::Tensor>& reward_grad, const Cancellation& cancellation);

 protected:
  // Counts network evaluations that decoding took.
  void count_forwards(int64_t forwards) { forwards_ += forwards; }

 private:
  // Rows whose images are decoded together.
  struct Part {
    int64_t begin;
    at::Tensor endpoint, images;  // with the graph between them
  };

  void check_gradient(const at::Tensor& reward_grad, int64_t rows) const;

  const Origin origin_;
  at::Tensor endpoint_;
  Decoding decoding_;
  int64_t forwards_ = 0;
  const double jacobian_ = 1;
  std::vector<Part> kept_;        // of the slice that was decoded last
  at::Tensor reward_gradient_;    // ∂r/∂endpoint, as far as it was carried
  std::vector<bool> is_carried_;  // a row's gradient
  int64_t carried_ = 0;
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
  virtual Endpoints keep(Rollout& rollout, const std::optional<at::Tensor>& reward_grad,
                         const Cancellation& cancellation);

  // A rollout of samples that were kept.
  virtual std::unique_ptr<Rollout> recall(const Conditioning& conditioning,
                                          const std::optional<Conditioning>& unconditional, const Endpoints& endpoints,
                                          uint64_t seed, uint64_t step);

  // Adds ∂loss/∂parameters to the trainable tensors' .grad and spends the rollout. reward_values [rows]: to drop
  // rows whose value is not finite; reward_grad [rows, channels, H, W]: ∂(sum of rewards)/∂images, none where it was
  // carried slice by slice, for a reward that has no gradient and for samples that were recalled. After a cancellation
  // the gradients hold a part of the batch and must be cleared.
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

  // How the model makes images of endpoints that are latents at time 1, sliced as the options say.
  Rollout::Decoding decoding(const RewardOptions& options);

  // The model's images of latents at time 1.
  at::Tensor decoded(const at::Tensor& latents);

  FlowModel& model_;

 private:
  Kept keep_finite(const std::vector<float>& reward_values, const at::Tensor& reward_gradient, StepMetrics& metrics);

  RunningQuantile reward_gradient_norms_;
};

}  // namespace eam
