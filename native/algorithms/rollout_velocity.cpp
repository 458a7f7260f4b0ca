#include "algorithms/rollout_velocity.h"

#include <ATen/ops/cat.h>

#include <utility>

namespace eam {

namespace {

// Tells whether rows of both fit into a tensor each: models of one's own may take conditionings of different lengths.
bool fit_together(const Conditioning& a, const Conditioning& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const bool alike = a[i].sizes().slice(1) == b[i].sizes().slice(1) && a[i].scalar_type() == b[i].scalar_type();
    if (!alike || a[i].device() != b[i].device()) return false;
  }
  return true;
}

}  // namespace

FoldedAdapters::FoldedAdapters(FlowModel& model) : model_(model) {
  try {
    model_.fold();
  } catch (...) {
    // Memory ran out: some layers may have their copies.
    model_.unfold();
    throw;
  }
}

RolloutVelocity::RolloutVelocity(FlowModel& model, bool pretrained, int64_t rows, Conditioning conditional,
                                 std::optional<Conditioning> unconditional, const Cancellation& cancellation)
    : evaluator_(model, pretrained, rows, cancellation),
      conditional_(std::move(conditional)),
      unconditional_(std::move(unconditional)) {
  if (!pretrained) folded_.emplace(model);
  joint_ = unconditional_ && fit_together(conditional_, *unconditional_);
  if (!joint_) return;
  for (size_t i = 0; i < conditional_.size(); ++i) {
    conditional_[i] = at::cat({conditional_[i], (*unconditional_)[i]});
  }
}

RolloutVelocity::Pair RolloutVelocity::operator()(const at::Tensor& x, double t) {
  if (!unconditional_) return {evaluator_(x, t, conditional_), std::nullopt};
  if (!joint_) return {evaluator_(x, t, conditional_), evaluator_(x, t, *unconditional_)};
  const std::vector<at::Tensor> both = evaluator_(at::cat({x, x}), t, conditional_).split(x.size(0));
  return {both[0], both[1]};
}

}  // namespace eam
