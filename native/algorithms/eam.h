#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "algorithms/ode_solver.h"
#include "algorithms/reward_algorithm.h"
#include "ops/ops.h"

namespace eam {

enum class Terminal { consistent, plugin };

struct EamOptions {
  double C = 1;
  double lambda = 1;
  double delta = 0.1;
  Terminal terminal = Terminal::consistent;
  SolverKind solver = SolverKind::heun;
  int steps = 8;       // of the ODE, from 0 to the terminal time
  double shift = 1;    // of those steps' times; see shifted_times
  int renoisings = 4;  // M
  ops::Weighting weighting = ops::Weighting::velocity;
  double cap = 20;
  bool reward_through_denoiser = false;  // consistent only: the reward's gradient flows through v_pre
  double guidance = 1;                   // of the rollout
  // Score, reward and loss are the guided velocity's, as the rollout is; else the conditional one's.
  bool guided_loss = false;
  int micro_batch = 0;   // samples a network evaluation; 0: all at once
  int decode_slice = 0;  // see Rollout::Part
  // Per-sample reward-gradient norms above this running quantile are clipped to it; 1: off.
  double reward_gradient_quantile = 1;
};

// Efficient Adjoint Matching (arXiv 2605.11480): regress the velocity at renoised endpoints of the model's
// own ODE onto the closed-form optimal control of the tilted distribution p_pre e^{λ r}.
class Eam final : public RewardAlgorithm {
 public:
  // Error(config) for an option outside its range, or a model whose pretrained velocity is not kept apart.
  Eam(FlowModel& model, const EamOptions& options);

  // Solves the ODE to the terminal time, then evaluates the pretrained model there.
  std::unique_ptr<Rollout> rollout(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                                   at::IntArrayRef shape, uint64_t seed, uint64_t step,
                                   const Cancellation& cancellation) override;

 private:
  struct Solved;     // an ODE's rollout
  struct Terminals;  // the kept samples with what the loss needs of them

  bool made(const Rollout& rollout) const override;
  void match(const Rollout& rollout, Kept kept, const Cancellation& cancellation, StepMetrics& metrics) override;

  double terminal_time() const;
  bool guided() const { return options_.guided_loss && options_.guidance != 1; }
  at::Tensor velocity(bool pretrained, const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning,
                      const Conditioning& unconditional);
  at::Tensor images_at(const at::Tensor& endpoint, const at::Tensor& pretrained_velocity);
  Terminals terminals(const Solved& rollout, const Kept& kept, StepMetrics& metrics) const;
  void match_part(const Rollout::Origin& origin, const Terminals& terminals, int64_t begin, int64_t end,
                  StepMetrics& metrics);

  const EamOptions options_;
};

}  // namespace eam
