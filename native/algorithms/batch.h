#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops/cancellation.h"
#include "ops/flow_model.h"
#include "ops/ops.h"
#include "ops/random.h"

// What the algorithms do with the samples of a batch.
namespace eam {

// Rows begin ≤ i < end of every tensor.
Conditioning slice(const Conditioning& conditioning, int64_t begin, int64_t end);

// The given rows of every tensor; index is int64.
Conditioning select(const Conditioning& conditioning, const at::Tensor& index);

// One row for all samples becomes one a sample. Error(shape) where the first dimension is neither 1 nor `batch`; `name`
// is the argument's.
Conditioning expand(const Conditioning& conditioning, int64_t batch, const std::string& name);

// The generator of one purpose with a stream for each of the samples first, first + 1, …; Error(config) past
// kMaxSamples, where streams of different steps would meet.
ops::PhiloxNoise streams(uint64_t seed, uint64_t step, int64_t first, int64_t count, Purpose purpose);

// Velocities without autograd, at most micro_batch samples an evaluation (0: all at once), cancellable in between.
class Evaluator {
 public:
  Evaluator(FlowModel& model, bool pretrained, int64_t micro_batch, const Cancellation& cancellation);
  at::Tensor operator()(const at::Tensor& x, double t, const Conditioning& conditioning);
  int64_t samples() const { return samples_; }  // evaluated so far

 private:
  FlowModel& model_;
  bool pretrained_;
  int64_t micro_batch_;
  const Cancellation& cancellation_;
  int64_t samples_ = 0;
};

}  // namespace eam
