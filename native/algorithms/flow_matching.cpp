#include "algorithms/flow_matching.h"

#include <ATen/ATen.h>
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

Conditioning drop(const Conditioning& conditioning, const Conditioning& unconditional, double probability,
                  const ops::PhiloxNoise& noise) {
  const std::vector<double> u = ops::philox_uniform(noise);
  const at::Tensor dropped = at::tensor(u, at::kDouble).lt(probability);
  Conditioning mixed;
  for (size_t i = 0; i < conditioning.size(); ++i) {
    std::vector<int64_t> shape(conditioning[i].dim(), 1);
    shape[0] = -1;
    mixed.push_back(at::where(dropped.to(conditioning[i].device()).view(shape), unconditional[i], conditioning[i]));
  }
  return mixed;
}

}  // namespace

FlowMatchingLoss flow_matching(FlowModel& model, const at::Tensor& x1, const Conditioning& conditioning,
                               const Conditioning& unconditional, const FlowMatchingOptions& options, uint64_t seed,
                               uint64_t step, const Cancellation& cancellation) {
  if (!(options.dropout >= 0 && options.dropout <= 1)) {
    throw Error(ErrorKind::config, "dropout is " + std::to_string(options.dropout) + ", expected 0 to 1");
  }
  if (x1.dim() < 2 || x1.size(0) < 1) throw Error(ErrorKind::shape, "x1 has no samples, expected [B, …]");
  if (options.dropout > 0 && unconditional.size() != conditioning.size()) {
    throw Error(ErrorKind::shape, "unconditional has " + std::to_string(unconditional.size()) +
                                      " tensors, expected one for each of the " + std::to_string(conditioning.size()) +
                                      " of conditioning");
  }
  const int64_t batch = x1.size(0);
  const auto noise_for = [&](Purpose purpose) { return streams(seed, step, 0, batch, purpose); };
  const std::vector<double> t = stratified_times(options.times, noise_for(Purpose::time));
  const ops::Noise noise{std::nullopt, noise_for(Purpose::renoise)};

  Conditioning rows = expand(conditioning, batch, "conditioning");
  if (options.dropout > 0) {
    rows = drop(rows, expand(unconditional, batch, "unconditional"), options.dropout, noise_for(Purpose::dropout));
  }

  cancellation.check();
  const at::Tensor velocity =
      model.velocity(ops::renoise(x1, t, noise), at::tensor(t, at::kDouble).to(x1.device(), at::kFloat), rows);
  cancellation.check();
  const ops::Loss loss = ops::flow_matching_loss(velocity.detach(), x1, noise);
  torch::autograd::backward({velocity}, {loss.grad});
  return {loss.loss, loss.per_sample};
}

}  // namespace eam
