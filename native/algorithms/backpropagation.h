#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "algorithms/backpropagation_options.h"
#include "algorithms/ode_solver.h"
#include "algorithms/reward_algorithm.h"

namespace eam {

// Truncated backpropagation, the baselines: the gradient of −λ r through the last part of the rollout. That part is
// computed with its graph, which waits for the reward's gradient; with micro-batches it is computed a second time
// instead, a part after the other, so that memory holds one part's graph.
class Backpropagation : public RewardAlgorithm {
 public:
  std::unique_ptr<Rollout> rollout(const Conditioning& conditioning, const std::optional<Conditioning>& unconditional,
                                   at::IntArrayRef shape, uint64_t seed, uint64_t step, bool differentiable,
                                   const Cancellation& cancellation) override;

 protected:
  // Which part of a rollout is differentiated: its last K steps, K drawn uniformly from fewest … most.
  struct Truncation {
    int fewest = 1, most = 1;
    bool jumps = false;  // the last K steps are replaced by a single one to the data, which is differentiated
    int renoisings = 0;  // further images of a sample, each from noise added to the sample
  };

  // name: for errors. Error(config) for a model whose pretrained velocity is not kept apart.
  Backpropagation(const char* name, FlowModel& model, const BackpropagationOptions& options, Truncation truncation);

 private:
  struct Truncated;

  bool made(const Rollout& rollout) const override;
  void match(const Rollout& rollout, Kept kept, const Cancellation& cancellation, StepMetrics& metrics) override;

  // K of an iteration: a function of the stream (step, 0, depth) of `seed`.
  int last_steps(uint64_t seed, uint64_t step) const;
  bool guided() const { return options_.guidance != 1; }
  // Solves on to the end, a row a sample, under the caller's gradient mode; adds the network evaluations.
  at::Tensor solve(OdeSolver solver, const Conditioning& conditioning, const Conditioning& unconditional,
                   const Cancellation& cancellation, int64_t& evaluations);
  // Solves on likewise, in micro-batches and without gradients.
  at::Tensor solve_in_parts(const OdeSolver& solver, const Conditioning& conditioning,
                            const Conditioning& unconditional, const Cancellation& cancellation, int64_t& evaluations);

  const char* const name_;
  const BackpropagationOptions options_;
  const Truncation truncation_;
};

// Reward feedback learning (arXiv 2304.05977): one step, from one of the last times of the rollout to the data.
class Refl final : public Backpropagation {
 public:
  // Error(config) for an option outside its range, here and below.
  Refl(FlowModel& model, const ReflOptions& options);
};

// Direct reward fine-tuning (arXiv 2309.17400), DRaFT-K and DRaFT-LV.
class Draft final : public Backpropagation {
 public:
  Draft(FlowModel& model, const DraftOptions& options);
};

// AlignProp (arXiv 2310.03739): randomised truncated backpropagation.
class AlignProp final : public Backpropagation {
 public:
  AlignProp(FlowModel& model, const AlignPropOptions& options);
};

}  // namespace eam
