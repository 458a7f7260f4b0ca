#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ops/cancellation.h"
#include "ops/flow_model.h"
#include "ops/ops.h"
#include "ops/random.h"

// What the algorithms do with the samples of a batch.
namespace eam {

// Error(shape) for a shape without samples or no conditioning, Error(config) for guidance that has no unconditional
// conditioning.
void check_sampling(at::IntArrayRef shape, const Conditioning& conditioning,
                    const std::optional<Conditioning>& unconditional, double guidance);

// Error(config) where a batch of this shape, each sample counted `each` times, has more than kMaxSamples streams.
void check_stream_count(at::IntArrayRef shape, int64_t each, const char* of_what);

// body(begin, end) for parts of at most micro_batch of `count` samples, 0: all at once; cancellable before each.
template <class Body>
void for_each_part(int64_t count, int64_t micro_batch, const Cancellation& cancellation, const Body& body) {
  const int64_t size = micro_batch > 0 ? micro_batch : count;
  for (int64_t begin = 0; begin < count; begin += size) {
    cancellation.check();
    body(begin, std::min(begin + size, count));
  }
}

// Rows begin ≤ i < end of every tensor.
Conditioning slice(const Conditioning& conditioning, int64_t begin, int64_t end);

// The given rows, of every tensor.
at::Tensor select(const at::Tensor& tensor, const std::vector<int64_t>& rows);
Conditioning select(const Conditioning& conditioning, const std::vector<int64_t>& rows);

// One row for all samples becomes one a sample. Error(shape) where the first dimension is neither 1 nor `batch`; `name`
// is the argument's.
Conditioning expand(const Conditioning& conditioning, int64_t batch, const std::string& name);

// The generator of one purpose with a stream for each of the samples first, first + 1, …; Error(config) past
// kMaxSamples, where streams of different steps would meet.
ops::PhiloxNoise streams(uint64_t seed, uint64_t step, int64_t first, int64_t count, Purpose purpose);

// The Euclidean norm of each sample.
std::vector<double> norms(const at::Tensor& samples);

double mean(const std::vector<double>& values);  // 0 of none

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
