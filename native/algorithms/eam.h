#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "algorithms/ode_solver.h"
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
  bool reward_through_denoiser = false;
  double guidance = 1;       // of the rollout; the loss is on the conditional velocity
  int micro_batch = 0;       // samples a network evaluation; 0: all at once
  double reward_gradient_quantile = 1;  // per-sample reward-gradient norms above this running quantile are clipped; 1: off
};

struct Rollout {
  at::Tensor endpoint;             // Y (consistent) or X_1 (plugin), [B, …] float32
  at::Tensor pretrained_velocity;  // at (endpoint, 1 − δ)
  at::Tensor images;               // [B, channels, H, W], a leaf for the reward
  Conditioning conditioning;
  uint64_t seed, step;
  int64_t forwards = 0;            // network evaluations, a batch of one counted as one
  // (what maps a gradient at the images back to the endpoint)
};

struct StepMetrics {
  double loss;
  std::vector<float> per_sample;
  int64_t dropped;    // samples left out because reward, gradient or loss were not finite
  int64_t clipped;    // samples whose reward gradient was clipped at the running quantile
  int64_t forwards, vjps, backwards;
  double reward_gradient_norm;  // mean over samples, before λ
  double score_norm;
};

class Eam {
 public:
  Eam(FlowModel& model, EamOptions options);
  Rollout rollout(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                  at::IntArrayRef latent_shape, uint64_t seed, uint64_t step, const Cancellation& cancellation);
  // Adds ∂loss/∂parameters to the trainable tensors' .grad. reward_values: to drop non-finite ones; reward_grad:
  // ∂(sum of rewards)/∂images.
  StepMetrics accumulate(Rollout& rollout, const std::vector<float>& reward_values, const at::Tensor& reward_grad,
                         const Cancellation& cancellation);
};

}  // namespace eam
