#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "algorithms/eam_options.h"
#include "algorithms/modes.h"
#include "algorithms/reward_algorithm.h"

namespace eam {

// Efficient Adjoint Matching (arXiv 2605.11480): regress the velocity at renoised endpoints of the model's
// own ODE onto the closed-form optimal control of the tilted distribution p_pre e^{λ r}.
class Eam final : public RewardAlgorithm {
 public:
  // Error(config) for an option outside its range, or a model whose pretrained velocity is not kept apart.
  Eam(FlowModel& model, const EamOptions& options);

  // Solves the ODE to the terminal time, then evaluates the pretrained model there.
  std::unique_ptr<Rollout> rollout(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                                   at::IntArrayRef shape, uint64_t seed, uint64_t step, bool differentiable,
                                   const Cancellation& cancellation) override;

  Endpoints keep(Rollout& rollout, const std::optional<at::Tensor>& reward_grad,
                 const Cancellation& cancellation) override;
  std::unique_ptr<Rollout> recall(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                                  const Endpoints& endpoints, uint64_t seed, uint64_t step) override;

  AlgorithmState state() const override;
  AlgorithmState checked(const AlgorithmState& state) const override;
  void load(const AlgorithmState& state) override;

 private:
  struct Solved;     // an ODE's rollout, or one that was recalled
  struct Terminals;  // the kept samples with what the loss needs of them

  bool made(const Rollout& rollout) const override;
  void match(const Rollout& rollout, Kept kept, const Cancellation& cancellation, StepMetrics& metrics) override;

  double terminal_time() const;
  void check_differentiable(bool differentiable) const;
  bool guided() const { return options_.guided_loss && options_.guidance != 1; }
  at::Tensor velocity(bool pretrained, const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning,
                      const Conditioning& unconditional);
  at::Tensor evaluate_pretrained(Solved& rollout, const at::Tensor& endpoint, int64_t begin);
  at::Tensor pretrained_velocity(Solved& rollout, const at::Tensor& endpoint, int64_t begin);
  double denoiser_jacobian() const;
  std::vector<double> ratios(const Solved& rollout, const std::vector<int64_t>& samples,
                             const Cancellation& cancellation, StepMetrics& metrics);
  Terminals terminals(const Solved& rollout, const Kept& kept, const std::vector<double>& ratios, StepMetrics& metrics);
  void match_part(const Rollout::Origin& origin, const Terminals& terminals, int64_t begin, int64_t end,
                  StepMetrics& metrics);

  const EamOptions options_;
  ModeBaseline mode_baseline_;
};

}  // namespace eam
