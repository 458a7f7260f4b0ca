#include "algorithms/batch.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "ops/error.h"

namespace eam {

Conditioning slice(const Conditioning& conditioning, int64_t begin, int64_t end) {
  Conditioning part;
  for (const at::Tensor& tensor : conditioning) part.push_back(tensor.slice(0, begin, end));
  return part;
}

Conditioning select(const Conditioning& conditioning, const at::Tensor& index) {
  Conditioning part;
  for (const at::Tensor& tensor : conditioning) part.push_back(tensor.index_select(0, index.to(tensor.device())));
  return part;
}

Conditioning expand(const Conditioning& conditioning, int64_t batch, const std::string& name) {
  Conditioning expanded;
  for (size_t i = 0; i < conditioning.size(); ++i) {
    const at::Tensor& tensor = conditioning[i];
    if (tensor.dim() == 0 || (tensor.size(0) != batch && tensor.size(0) != 1)) {
      std::ostringstream message;
      message << name << "[" << i << "] has shape " << tensor.sizes() << ", expected " << batch
              << " samples (or one for all) in its first dimension";
      throw Error(ErrorKind::shape, message.str());
    }
    std::vector<int64_t> shape = tensor.sizes().vec();
    shape[0] = batch;
    expanded.push_back(tensor.expand(shape));
  }
  return expanded;
}

ops::PhiloxNoise streams(uint64_t seed, uint64_t step, int64_t first, int64_t count, Purpose purpose) {
  if (first < 0 || first > kMaxSamples - count) {
    throw Error(ErrorKind::config, "samples " + std::to_string(first) + " to " + std::to_string(first + count - 1) +
                                       " are asked for, expected numbers from 0 to " + std::to_string(kMaxSamples - 1));
  }
  ops::PhiloxNoise noise{seed, std::vector<uint64_t>(count)};
  for (int64_t i = 0; i < count; ++i) noise.streams[i] = stream_of(step, first + i, purpose);
  return noise;
}

Evaluator::Evaluator(FlowModel& model, bool pretrained, int64_t micro_batch, const Cancellation& cancellation)
    : model_(model), pretrained_(pretrained), micro_batch_(micro_batch), cancellation_(cancellation) {}

at::Tensor Evaluator::operator()(const at::Tensor& x, double t, const Conditioning& conditioning) {
  at::NoGradGuard no_grad;
  const int64_t batch = x.size(0), part = micro_batch_ > 0 ? std::min(micro_batch_, batch) : batch;
  std::vector<at::Tensor> velocities;
  for (int64_t begin = 0; begin < batch; begin += part) {
    cancellation_.check();
    const int64_t end = std::min(begin + part, batch);
    const at::Tensor rows = x.slice(0, begin, end);
    const at::Tensor times = at::full({end - begin}, t, at::device(x.device()).dtype(at::kFloat));
    const Conditioning rows_conditioning = slice(conditioning, begin, end);
    velocities.push_back(pretrained_ ? model_.pretrained_velocity(rows, times, rows_conditioning)
                                     : model_.velocity(rows, times, rows_conditioning));
  }
  samples_ += batch;
  return velocities.size() == 1 ? velocities[0] : at::cat(velocities);
}

}  // namespace eam
