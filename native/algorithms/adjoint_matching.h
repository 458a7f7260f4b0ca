#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "algorithms/reward_algorithm.h"
#include "ops/ops.h"

namespace eam {

struct AdjointMatchingOptions {
  double lambda = 1;
  int steps = 20;                // K, of the stochastic rollout, uniform
  int drawn_steps = 10;          // of the steps before the final ones, drawn anew in each iteration
  double final_fraction = 0.25;  // of the steps, the last ones: always in the loss
  // A term of the loss (one sample at one step, mean over elements) that reaches it counts as the cap and gives no
  // gradient; infinity: off.
  double cap = std::numeric_limits<double>::infinity();
  double guidance = 1;   // of the rollout; adjoint and loss are those of the conditional velocity
  int micro_batch = 0;   // samples a network evaluation; 0: all at once
  int decode_slice = 0;  // see Rollout::Part
  // Per-sample reward-gradient norms above this running quantile are clipped to it; 1: off.
  double reward_gradient_quantile = 1;
};

// Adjoint Matching (arXiv 2409.08861), the baseline: memoryless stochastic rollouts of the current model, the lean
// adjoint carried back through the pretrained one, and the loss ‖(2/σ)(v_θ − v_pre) + σ a‖² at some of the steps.
// Memory holds the K + 1 states of a batch and, whatever K, one step's adjoint and graph.
class AdjointMatching final : public RewardAlgorithm {
 public:
  // Error(config) for an option outside its range, or a model whose pretrained velocity is not kept apart.
  AdjointMatching(FlowModel& model, const AdjointMatchingOptions& options);

  // The noise of step k has the stream (step, sample · K + k, sde) of `seed`.
  std::unique_ptr<Rollout> rollout(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                                   at::IntArrayRef shape, uint64_t seed, uint64_t step,
                                   const Cancellation& cancellation) override;

  // The same along given noise, one a step: a rollout whose every number is the caller's.
  std::unique_ptr<Rollout> rollout(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                                   const at::Tensor& x0, const std::vector<ops::Noise>& noise, uint64_t seed,
                                   uint64_t step, const Cancellation& cancellation);

  // Which of the K steps are in the loss of iteration `step`, ascending: the drawn ones are those with the smallest
  // uniforms of the streams (step, k, subset).
  std::vector<int> chosen_steps(uint64_t seed, uint64_t step) const;

 private:
  struct Trajectory;

  bool made(const Rollout& rollout) const override;
  void match(const Rollout& rollout, Kept kept, const Cancellation& cancellation, StepMetrics& metrics) override;

  void match_part(const Trajectory& trajectory, const std::vector<int>& chosen, const std::vector<int64_t>& samples,
                  at::Tensor adjoint, double terms, const Cancellation& cancellation, StepMetrics& metrics);

  const AdjointMatchingOptions options_;
};

}  // namespace eam
