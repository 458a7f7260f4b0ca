#pragma once

#include <cstdint>
#include <vector>

#include "algorithms/optimizer_options.h"
#include "ops/flow_model.h"

namespace eam {

// AdamW (arXiv 1711.05101) with clipping at a global norm, and an exponential moving average of the parameters whose
// decay after n updates is min(ema_decay, (1 + n)/(10 + n)): a short run does not average its start in.
class Optimizer {
 public:
  // Parameters are float32 and contiguous; they are updated in place.
  Optimizer(NamedTensors parameters, const OptimizerOptions& options);

  struct Step {
    double grad_norm;  // before clipping
    bool skipped;      // the norm was not finite: nothing changed but the gradients, which are cleared
  };
  // Parameters without a gradient keep their value. max_norm > 0; infinity does not clip.
  Step step(double learning_rate, double max_norm);

  int64_t step_count() const { return step_count_; }        // updates, skipped ones not counted
  int64_t skipped_count() const { return skipped_count_; }  // since construction

  // m.NAME, v.NAME and, with averaging, ema.NAME.
  NamedTensors state() const;
  void load(const NamedTensors& state, int64_t step_count);

  bool averages() const { return !averages_.empty(); }

 private:
  friend class AveragedWeights;

  const OptimizerOptions options_;
  const NamedTensors parameters_;
  std::vector<at::Tensor> first_moments_, second_moments_, averages_;
  int64_t step_count_ = 0, skipped_count_ = 0;
};

// Puts the averages in the parameters' place for its lifetime.
class AveragedWeights {
 public:
  explicit AveragedWeights(const Optimizer& optimizer);  // Error(config) when the optimizer keeps no averages
  ~AveragedWeights();
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;

 private:
  std::vector<at::Tensor> parameters_, trained_;
};

}  // namespace eam
