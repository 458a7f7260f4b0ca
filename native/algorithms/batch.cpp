#include "algorithms/batch.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <string>

#include "ops/error.h"

namespace eam {

void check_sampling(at::IntArrayRef shape, const Conditioning& conditioning,
                    const std::optional<Conditioning>& unconditional, double guidance) {
  if (shape.size() < 2 || shape[0] < 1) {
    throw bad_shape("shape", "[B, …] with at least one sample", shape);
  }
  if (conditioning.empty()) throw bad_shape("conditioning", "at least one tensor", "none");
  if (guidance != 1 && !unconditional) {
    throw bad_value("guidance", "1 without an unconditional conditioning", guidance);
  }
}

void check_stream_count(at::IntArrayRef shape, int64_t each, const char* of_what) {
  if (shape.empty() || shape[0] <= kMaxSamples / each) return;
  throw bad_value(of_what, words("at most ", kMaxSamples, " in all samples"),
                  words(each, " a sample for a batch of ", shape[0]));
}

Conditioning slice(const Conditioning& conditioning, int64_t begin, int64_t end) {
  Conditioning part;
  for (const at::Tensor& tensor : conditioning) part.push_back(tensor.slice(0, begin, end));
  return part;
}

at::Tensor select(const at::Tensor& tensor, const std::vector<int64_t>& rows) {
  return tensor.index_select(0, at::tensor(at::ArrayRef<int64_t>(rows), at::kLong).to(tensor.device()));
}

Conditioning select(const Conditioning& conditioning, const std::vector<int64_t>& rows) {
  Conditioning part;
  for (const at::Tensor& tensor : conditioning) part.push_back(select(tensor, rows));
  return part;
}

Conditioning expand(const Conditioning& conditioning, int64_t batch, const std::string& name) {
  Conditioning expanded;
  for (size_t i = 0; i < conditioning.size(); ++i) {
    const at::Tensor& tensor = conditioning[i];
    if (tensor.dim() == 0 || (tensor.size(0) != batch && tensor.size(0) != 1)) {
      throw bad_shape(words(name, "[", i, "]"), words(batch, " samples (or one for all) in its first dimension"),
                      words("shape ", tensor.sizes()));
    }
    std::vector<int64_t> shape = tensor.sizes().vec();
    shape[0] = batch;
    expanded.push_back(tensor.expand(shape));
  }
  return expanded;
}

ops::PhiloxNoise streams(uint64_t seed, uint64_t step, int64_t first, int64_t count, Purpose purpose) {
  if (first < 0 || first > kMaxSamples - count) {
    throw bad_value("samples", words("numbers from 0 to ", kMaxSamples - 1), words(first, " to ", first + count - 1));
  }
  ops::PhiloxNoise noise{seed, std::vector<uint64_t>(count)};
  for (int64_t i = 0; i < count; ++i) noise.streams[i] = stream_of(step, first + i, purpose);
  return noise;
}

std::vector<double> norms(const at::Tensor& samples) {
  const at::Tensor norm = samples.flatten(1).norm(2, {1}).to(at::kCPU, at::kDouble).contiguous();
  return {norm.const_data_ptr<double>(), norm.const_data_ptr<double>() + norm.numel()};
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

Evaluator::Evaluator(FlowModel& model, bool pretrained, int64_t micro_batch, const Cancellation& cancellation)
    : model_(model), pretrained_(pretrained), micro_batch_(micro_batch), cancellation_(cancellation) {}

at::Tensor Evaluator::operator()(const at::Tensor& x, double t, const Conditioning& conditioning) {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> velocities;
  for_each_part(x.size(0), micro_batch_, cancellation_, [&](int64_t begin, int64_t end) {
    const at::Tensor rows = x.slice(0, begin, end);
    const at::Tensor times = at::full({end - begin}, t, at::device(x.device()).dtype(at::kFloat));
    const Conditioning rows_conditioning = slice(conditioning, begin, end);
    velocities.push_back(pretrained_ ? model_.pretrained_velocity(rows, times, rows_conditioning)
                                     : model_.velocity(rows, times, rows_conditioning));
  });
  samples_ += x.size(0);
  return velocities.size() == 1 ? velocities[0] : at::cat(velocities);
}

}  // namespace eam
