#include "algorithms/flow_matching.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/special_ndtri.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>

#include "algorithms/batch.h"
#include "ops/error.h"

namespace eam {

namespace {

std::vector<double> stratified_times(TimeDistribution distribution, const ops::PhiloxNoise& noise) {
  std::vector<double> t = ops::philox_uniform(noise);
  const auto count = static_cast<double>(t.size());
  for (size_t b = 0; b < t.size(); ++b) t[b] = (static_cast<double>(b) + t[b]) / count;
  if (distribution == TimeDistribution::logit_normal) {
    at::Tensor times = at::from_blob(t.data(), {static_cast<int64_t>(t.size())}, at::kDouble);
    times.copy_(at::sigmoid(at::special_ndtri(times)));
  }
  // What the network reads in float32, the kernels read too.
  for (double& time : t) time = static_cast<float>(time);
  return t;
}

// `unconditional` where u < probability.
Conditioning drop(const Conditioning& conditioning, const Conditioning& unconditional, double probability,
                  const std::vector<double>& u) {
  const at::Tensor dropped = at::tensor(u, at::kDouble).lt(probability);
  Conditioning mixed;
  for (size_t i = 0; i < conditioning.size(); ++i) {
    std::vector<int64_t> shape(conditioning[i].dim(), 1);
    shape[0] = -1;
    mixed.push_back(at::where(dropped.to(conditioning[i].device()).view(shape), unconditional[i], conditioning[i]));
  }
  return mixed;
}

template <class Value>
std::vector<Value> part_of(const std::vector<Value>& values, int64_t begin, int64_t end) {
  return {values.begin() + begin, values.begin() + end};
}

}  // namespace

FlowMatchingLoss flow_matching(FlowModel& model, const at::Tensor& x1, const Conditioning& conditioning,
                               const Conditioning& unconditional, const FlowMatchingOptions& options, uint64_t seed,
                               uint64_t step, const Cancellation& cancellation) {
  checked(options, "flowMatching");
  if (x1.dim() < 2 || x1.size(0) < 1) throw bad_shape("x1", "samples [B, …]", words("shape ", x1.sizes()));
  if (options.dropout > 0 && unconditional.size() != conditioning.size()) {
    throw bad_shape("unconditional", words("one tensor for each of the ", conditioning.size(), " of conditioning"),
                    unconditional.size());
  }
  const int64_t batch = x1.size(0), total = batch * options.times_each;
  check_stream_count(x1.sizes(), options.times_each, "flowMatching: timesEach");
  const auto noise_for = [&](Purpose purpose) { return streams(seed, step, 0, total, purpose); };
  const std::vector<double> t = stratified_times(options.times, noise_for(Purpose::time));
  const ops::PhiloxNoise noise = noise_for(Purpose::renoise);
  const Conditioning conditional = expand(conditioning, batch, "conditioning");
  std::vector<double> u;
  Conditioning free;
  if (options.dropout > 0) {
    u = ops::philox_uniform(noise_for(Purpose::dropout));
    free = expand(unconditional, batch, "unconditional");
  }

  FlowMatchingLoss result{0, std::vector<float>(batch)};
  for_each_part(total, options.micro_batch, cancellation, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> samples;
    for (int64_t row = begin; row < end; ++row) samples.push_back(row % batch);
    const double share = static_cast<double>(end - begin) / static_cast<double>(total);
    const std::vector<double> times = part_of(t, begin, end);
    const ops::Noise part_noise{std::nullopt, {seed, part_of(noise.streams, begin, end)}};
    const at::Tensor data = select(x1, samples);
    Conditioning rows = select(conditional, samples);
    if (options.dropout > 0) rows = drop(rows, select(free, samples), options.dropout, part_of(u, begin, end));
    const at::Tensor velocity = model.velocity(ops::renoise(data, times, part_noise),
                                               at::tensor(times, at::kDouble).to(x1.device(), at::kFloat), rows);
    cancellation.check();
    const ops::Loss loss = ops::flow_matching_loss(velocity.detach(), data, part_noise);
    loss.grad.mul_(share);
    torch::autograd::backward({velocity}, {loss.grad});
    result.loss += share * loss.loss;
    for (size_t i = 0; i < samples.size(); ++i) {
      result.per_sample[samples[i]] += loss.per_sample[i] / static_cast<float>(options.times_each);
    }
  });
  return result;
}

}  // namespace eam
