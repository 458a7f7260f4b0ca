#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "algorithms/batch.h"
#include "ops/cancellation.h"
#include "ops/flow_model.h"

namespace eam {

// While it lives, velocities that record no gradient are those of the weights with the adapters folded in.
class FoldedAdapters {
 public:
  explicit FoldedAdapters(FlowModel& model);
  ~FoldedAdapters() { model_.unfold(); }
  FoldedAdapters(const FoldedAdapters&) = delete;
  FoldedAdapters& operator=(const FoldedAdapters&) = delete;

 private:
  FlowModel& model_;
};

// The velocities along a rollout, without autograd. Rows of both conditionings of a guided one are in the same network
// evaluations.
class RolloutVelocity {
 public:
  struct Pair {
    at::Tensor conditional;
    std::optional<at::Tensor> unconditional;  // where there is such a conditioning
  };

  // Conditionings have a row a sample. rows: the most in an evaluation, a guided sample being two; 0: all at once.
  RolloutVelocity(FlowModel& model, bool pretrained, int64_t rows, Conditioning conditional,
                  std::optional<Conditioning> unconditional, const Cancellation& cancellation);

  Pair operator()(const at::Tensor& x, double t);
  int64_t samples() const { return evaluator_.samples(); }  // rows evaluated so far

 private:
  Evaluator evaluator_;
  std::optional<FoldedAdapters> folded_;
  Conditioning conditional_;
  std::optional<Conditioning> unconditional_;
  bool joint_ = false;  // conditional_ holds the rows of both
};

}  // namespace eam
