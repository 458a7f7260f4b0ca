#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "algorithms/adjoint_matching_options.h"
#include "algorithms/reward_algorithm.h"
#include "ops/ops.h"

namespace eam {

// Adjoint Matching (arXiv 2409.08861), the baseline: memoryless stochastic rollouts of the current model, the lean
// adjoint carried back through the pretrained one, and the loss ‖(2/σ)(v_θ − v_pre) + σ a‖² at some of the steps.
// Memory holds the K + 1 states of a batch and, whatever K, one step's adjoint and graph.
class AdjointMatching final : public RewardAlgorithm {
 public:
  // Error(config) for an option outside its range, or a model whose pretrained velocity is not kept apart.
  AdjointMatching(FlowModel& model, const AdjointMatchingOptions& options);

  // The noise of step k has the stream (step, sample · K + k, sde) of `seed`.
  std::unique_ptr<Rollout> rollout(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                                   at::IntArrayRef shape, uint64_t seed, uint64_t step, bool differentiable,
                                   const Cancellation& cancellation) override;

  // Rolls out along given noise, one a step, so that every number is the caller's.
  std::unique_ptr<Rollout> rollout(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                                   const at::Tensor& x0, const std::vector<ops::Noise>& noise, uint64_t seed,
                                   uint64_t step, const Cancellation& cancellation);

  // The steps of the K that are in the loss of iteration `step`, ascending: the drawn ones are those with the smallest
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
