// How often a step decodes its images, with a network that counts: once a sample where slices are scored, and twice
// where the gradient is one of the whole batch; and that slices give the same gradient.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <functional>
#include <string>
#include <vector>

#include "algorithms/adjoint_matching.h"
#include "algorithms/backpropagation.h"
#include "algorithms/eam.h"
#include "ops/error.h"
#include "test/check.h"

namespace {

using namespace eam;

constexpr int64_t kBatch = 5;

// Counts the rows that it decodes, and those whose graph is kept.
class Counting final : public FlowModel {
 public:
  at::Tensor velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override {
    return pretrained_velocity(x, t, conditioning) + theta_ * at::cos(x);
  }
  at::Tensor pretrained_velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning&) override {
    return at::sin(3 * x) * (1 - t.unsqueeze(1)) - 0.2 * x;
  }
  at::Tensor images(const at::Tensor& latents) override {
    decoded += latents.size(0);
    if (at::GradMode::is_enabled() && latents.requires_grad()) with_graph += latents.size(0);
    if (on_decode) on_decode();
    return at::tanh(latents * 2).view({latents.size(0), 1, 2, 3});
  }
  NamedTensors trainable() override { return {{"theta", theta_}}; }
  NamedTensors weights() override { return {}; }
  bool pretrained_is_frozen() const override { return true; }

  at::Tensor gradient() {
    at::Tensor found = theta_.grad().clone();
    theta_.mutable_grad() = at::Tensor();
    return found;
  }

  int64_t decoded = 0, with_graph = 0;
  std::function<void()> on_decode;

 private:
  at::Tensor theta_ = at::full({}, 0.1).requires_grad_(true);
};

void holds(const std::string& what, bool fact) {
  check::report(what, fact ? 0 : 1, 0);
}

bool refuses(ErrorKind kind, const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.kind() == kind;
  }
  return false;
}

at::Tensor upstream_of(const at::Tensor& images) {
  return images * 3 - 0.5;
}

// Slices of so many rows are decoded, scored and carried. Gives ∂loss/∂θ.
at::Tensor sliced_step(RewardAlgorithm& algorithm, Rollout& rollout, Counting& model, StepMetrics& metrics) {
  for (int64_t begin = 0; begin < kBatch; begin += rollout.slice()) {
    const at::Tensor images = rollout.decode(begin, std::min(begin + rollout.slice(), kBatch), true, {});
    rollout.carry(upstream_of(images));
  }
  metrics = algorithm.accumulate(rollout, std::vector<float>(kBatch), std::nullopt, {});
  return model.gradient();
}

// All images are scored at once, without a graph.
at::Tensor whole_step(RewardAlgorithm& algorithm, Rollout& rollout, Counting& model, StepMetrics& metrics) {
  const at::Tensor images = rollout.decode(0, kBatch, false, {});
  metrics = algorithm.accumulate(rollout, std::vector<float>(kBatch), upstream_of(images), {});
  return model.gradient();
}

template <class Algorithm, class Options>
void check_counts(const std::string& name, Options options, bool through = false) {
  const Conditioning conditioning = {at::zeros({1}, at::kLong)};
  const std::vector<int64_t> shape = {kBatch, 6};
  at::Tensor all_at_once;
  int64_t forwards = 0;
  for (const int slice : {0, 1, 2, 3, 5, 9}) {
    options.decode_slice = slice;
    const std::string what = name + ", slices of " + std::to_string(slice) + ": ";
    Counting model;
    Algorithm algorithm(model, options);
    StepMetrics metrics;
    const at::Tensor found =
        sliced_step(algorithm, *algorithm.rollout(conditioning, std::nullopt, shape, 7, 3, true, {}), model, metrics);
    holds(what + "each image is decoded once", model.decoded == kBatch && model.with_graph == kBatch);
    if (slice == 0) {
      all_at_once = found;
      forwards = metrics.forwards;
    }
    check::report(what + "the gradient of all at once", check::error_of(found, all_at_once), 1e-6);
    holds(what + "the evaluations of all at once", metrics.forwards == forwards);
    if (through) holds(what + "a product a sample", metrics.vjps == kBatch);

    model.decoded = model.with_graph = 0;
    const at::Tensor whole =
        whole_step(algorithm, *algorithm.rollout(conditioning, std::nullopt, shape, 7, 3, true, {}), model, metrics);
    holds(what + "the whole batch's gradient decodes again", model.decoded == 2 * kBatch && model.with_graph == kBatch);
    check::report(what + "the gradient of the whole batch", check::error_of(whole, all_at_once), 1e-6);
    holds(what + "its evaluations", metrics.forwards == forwards + (through ? kBatch : 0));
  }
}

void check_refusals() {
  EamOptions options;
  options.steps = 2;
  options.decode_slice = 2;
  Counting model;
  Eam algorithm(model, options);
  const std::vector<int64_t> shape = {kBatch, 6};
  const auto roll = [&] { return algorithm.rollout({at::zeros({1}, at::kLong)}, std::nullopt, shape, 7, 3, true, {}); };
  const std::vector<float> values(kBatch);
  auto rollout = roll();
  holds("a slice is asked for before its gradient",
        refuses(ErrorKind::config, [&] { rollout->carry(at::zeros({2, 1, 2, 3})); }));
  rollout->decode(0, 2, false, {});
  holds("a slice without a graph takes no gradient",
        refuses(ErrorKind::config, [&] { rollout->carry(at::zeros({2, 1, 2, 3})); }));
  const at::Tensor images = rollout->decode(0, 2, true, {});
  holds("a gradient has the images' shape",
        refuses(ErrorKind::shape, [&] { rollout->carry(at::zeros({2, 1, 3, 2})); }) &&
            refuses(ErrorKind::shape, [&] { rollout->carry(at::zeros({3, 1, 2, 3})); }));
  rollout->carry(upstream_of(images));
  holds("a slice's graph is freed with its gradient",
        refuses(ErrorKind::config, [&] { rollout->carry(upstream_of(images)); }));
  holds("a part of the samples cannot be matched",
        refuses(ErrorKind::config, [&] { algorithm.accumulate(*rollout, values, std::nullopt, {}); }));
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{-1, 2}, {2, 2}, {3, 2}, {0, kBatch + 1}}) {
    holds("rows " + std::to_string(begin) + " to " + std::to_string(end) + " are refused",
          refuses(ErrorKind::config, [&] { rollout->decode(begin, end, true, {}); }));
  }
  rollout = roll();
  holds("a whole gradient has the shape of all images",
        refuses(ErrorKind::shape, [&] { algorithm.accumulate(*rollout, values, at::zeros({kBatch, 1, 3, 2}), {}); }));

  rollout = roll();
  const Cancellation cancellation;
  model.decoded = 0;
  model.on_decode = [&] { cancellation.cancel(); };
  holds("a whole gradient is cancelled between slices", refuses(ErrorKind::cancelled, [&] {
          algorithm.accumulate(*rollout, values, at::zeros({kBatch, 1, 2, 3}), cancellation);
        }));
  holds("after the slice that was under way", model.decoded == 2);
}

void checks() {
  EamOptions eam;
  eam.steps = 2;
  check_counts<Eam>("EAM", eam);
  eam.micro_batch = 2;
  check_counts<Eam>("EAM, micro-batches", eam);
  eam.reward_through_denoiser = true;
  check_counts<Eam>("EAM through the denoiser", eam, true);
  AdjointMatchingOptions am;
  am.steps = 4;
  check_counts<AdjointMatching>("Adjoint Matching", am);
  DraftOptions draft;
  draft.steps = 3;
  check_counts<Draft>("DRaFT", draft);
  draft.micro_batch = 2;
  check_counts<Draft>("DRaFT, micro-batches", draft);
  check_refusals();
}

}  // namespace

int main() {
  return check::run_checks(checks);
}
