#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "algorithms/ode_solver.h"
#include "algorithms/running_quantile.h"
#include "ops/cancellation.h"
#include "ops/flow_model.h"
#include "ops/ops.h"

namespace eam {

enum class Terminal { consistent, plugin };

struct EamOptions {
  double C = 1;
  double lambda = 1;
  double delta = 0.1;
  Terminal terminal = Terminal::consistent;
  SolverKind solver = SolverKind::heun;
  int steps = 8;             // of the ODE; uniform times from 0 to the terminal time
  int renoisings = 4;        // M
  ops::Weighting weighting = ops::Weighting::velocity;
  double cap = 20;
  bool reward_through_denoiser = false;  // consistent only: the reward's gradient flows through v_pre
  double guidance = 1;       // of the rollout; the loss is on the conditional velocity
  int micro_batch = 0;       // samples a network evaluation; 0: all at once
  // Per-sample reward-gradient norms above this running quantile are clipped to it; 1: off.
  double reward_gradient_quantile = 1;
};

// What one iteration generated, waiting for its reward.
class Rollout {
 public:
  const at::Tensor& endpoint() const { return endpoint_; }  // Y (consistent) or X_1 (plugin), [B, …] float32
  const at::Tensor& images() const { return images_; }      // [B, channels, H, W], what the reward reads
  // Network evaluations so far, one a sample: a batch of B counts B, whatever the micro-batch.
  int64_t forwards() const { return forwards_; }

 private:
  friend class Eam;

  // Samples that went through the endpoint's network evaluation together: the graph from the endpoint to the images.
  struct Part {
    at::Tensor leaf, images;
  };

  at::Tensor endpoint_, pretrained_velocity_, images_;
  std::vector<Part> parts_;
  Conditioning conditioning_;
  uint64_t seed_ = 0, step_ = 0;
  int64_t forwards_ = 0;
};

struct StepMetrics {
  double loss = 0;                // mean of per_sample over the kept samples; 0 where none was kept
  std::vector<float> per_sample;  // mean over its renoisings; NaN for a dropped sample
  int64_t dropped = 0;            // samples left out because reward, gradient or loss were not finite
  int64_t clipped = 0;            // samples whose reward gradient was clipped at the running quantile
  // Of the whole iteration, rollout included, one a sample: network evaluations, vector-Jacobian products through
  // the pretrained network, and backward passes through the trained one.
  int64_t forwards = 0, vjps = 0, backwards = 0;
  double reward_gradient_norm = 0;  // at the endpoint, mean over the kept samples, before λ and clipping
  double score_norm = 0;            // of ∇log p_pre, mean over the kept samples
};

// Efficient Adjoint Matching (arXiv 2605.11480): regress the velocity at renoised endpoints of the model's
// own ODE onto the closed-form optimal control of the tilted distribution p_pre e^{λ r}.
class Eam {
 public:
  // Error(config) for an option outside its range, or a model whose pretrained velocity is not kept apart.
  Eam(FlowModel& model, const EamOptions& options);

  // Solves the ODE from noise of shape [B, …] (streams (step, sample, initial_noise) of `seed`) to the terminal time,
  // then evaluates the pretrained model there. The conditioning has B rows, or one for all.
  Rollout rollout(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                  at::IntArrayRef shape, uint64_t seed, uint64_t step, const Cancellation& cancellation);

  // Adds ∂loss/∂parameters to the trainable tensors' .grad and spends the rollout. reward_values [B]: to drop
  // samples whose value is not finite; reward_grad [B, channels, H, W]: ∂(sum of rewards)/∂images. After a
  // cancellation the gradients hold a part of the batch and must be cleared.
  StepMetrics accumulate(Rollout& rollout, const std::vector<float>& reward_values, const at::Tensor& reward_grad,
                         const Cancellation& cancellation);

  // What a checkpoint must keep for a resumed run to go on the same.
  const RunningQuantile& reward_gradient_norms() const { return reward_gradient_norms_; }
  RunningQuantile& reward_gradient_norms() { return reward_gradient_norms_; }

 private:
  struct Terminals;

  double terminal_time() const;
  at::Tensor reward_gradient_at_endpoint(Rollout& rollout, const at::Tensor& reward_grad) const;
  Terminals terminals(Rollout& rollout, const std::vector<float>& reward_values, const at::Tensor& reward_grad,
                      StepMetrics& metrics);
  void match(const Rollout& rollout, const Terminals& terminals, int64_t begin, int64_t end, StepMetrics& metrics);

  FlowModel& model_;
  const EamOptions options_;
  RunningQuantile reward_gradient_norms_;
};

}  // namespace eam
