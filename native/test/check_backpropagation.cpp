// Checks truncated backpropagation without Node: the gradients of ReFL, DRaFT and AlignProp against autograd's of the
// rollout written out in float64 with LibTorch's operators. Exits with 1 on a mismatch.

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "algorithms/backpropagation.h"
#include "ops/error.h"
#include "ops/random.h"
#include "test/check.h"

namespace {

using namespace eam;

constexpr int64_t kBatch = 3, kElements = 5;
constexpr uint64_t kSeed = 11;
constexpr double kLambda = 1.7, kShift = 1.6;

// A network of two trained numbers whose Jacobian is neither diagonal nor constant. The conditioning is a number a
// sample, of which guidance takes two.
class Field final : public FlowModel {
 public:
  at::Tensor velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override {
    const at::Tensor y = x.to(at::kDouble), time = t.to(at::kDouble).unsqueeze(1), c = conditioning[0].unsqueeze(1);
    return at::sin(y.matmul(mixing_) * theta_[0] + c) * (1.2 - time) + theta_[1] * at::cos(y) * (time + c) - 0.3 * y;
  }
  at::Tensor pretrained_velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override {
    return velocity(x, t, conditioning);
  }
  at::Tensor images(const at::Tensor& latents) override { return latents.view({latents.size(0), 1, 1, -1}) * 0.5; }
  NamedTensors trainable() override { return {{"theta", theta_}}; }
  NamedTensors weights() override { return {{"mixing", mixing_}}; }
  bool pretrained_is_frozen() const override { return true; }

  at::Tensor taken() {
    at::Tensor gradient = theta_.grad().defined() ? theta_.grad().clone() : at::zeros({2}, at::kDouble);
    theta_.mutable_grad() = at::Tensor();
    return gradient;
  }
  const at::Tensor& theta() const { return theta_; }

 private:
  at::Tensor theta_ = at::tensor({0.8, 0.4}, at::kDouble).requires_grad_(true);
  const at::Tensor mixing_ = ops::philox_normal({kElements, kElements}, {5, {0}}, at::kDouble, at::kCPU).mul(0.6);
};

at::Tensor normals(uint64_t stream, int64_t rows = kBatch) {
  return ops::philox_normal({rows, kElements}, {3, {stream}}, at::kDouble, at::kCPU);
}

// The rollout, written out.
struct Plain {
  Field& field;
  SolverKind solver;
  std::vector<double> times;
  double guidance;

  const at::Tensor conditional = at::tensor({0.1, -0.4, 0.7}, at::kDouble);
  const at::Tensor unconditional = at::tensor({0.2, 0.2, 0.2}, at::kDouble);

  at::Tensor velocity(const at::Tensor& x, double t) const {
    const int64_t copies = x.size(0) / kBatch;
    const at::Tensor time = at::full({x.size(0)}, t, at::kFloat);
    const at::Tensor c = field.velocity(x, time, {conditional.repeat({copies})});
    if (guidance == 1) return c;
    return (1 - guidance) * field.velocity(x, time, {unconditional.repeat({copies})}) + guidance * c;
  }

  // Steps first ≤ k < last from x. data: the data prediction before `first`, for the multistep solver.
  at::Tensor solve(at::Tensor x, size_t first, size_t last, at::Tensor& data) const {
    for (size_t k = first; k < last; ++k) {
      const double t = times[k], next = times[k + 1], h = next - t;
      const at::Tensor v = velocity(x, t);
      switch (solver) {
        case SolverKind::euler:
          x = x + h * v;
          break;
        case SolverKind::heun:
          x = next == 1 ? x + h * v : x + h / 2 * (v + velocity(x + h * v, next));
          break;
        case SolverKind::midpoint:
          x = x + h * velocity(x + h / 2 * v, t + h / 2);
          break;
        case SolverKind::dpmpp2m: {
          at::Tensor d = x + (1 - t) * v, used = d;
          const auto snr = [](double time) { return std::log(time / (1 - time)); };
          if (k > 0 && times[k - 1] > 0 && next < 1) {
            const double r = (snr(t) - snr(times[k - 1])) / (snr(next) - snr(t));
            used = d + (d - data) / (2 * r);
          }
          const double keep = (1 - next) / (1 - t);
          x = keep * x + (next - t * keep) * used;
          data = d;
          break;
        }
      }
    }
    return x;
  }
};

struct Case {
  std::string name;
  SolverKind solver = SolverKind::euler;
  int steps = 4;
  double guidance = 1;
  uint64_t step = 2;
  std::function<std::unique_ptr<RewardAlgorithm>(FlowModel&, BackpropagationOptions)> make;
  // The images' latents, from the noise, with their graph.
  std::function<at::Tensor(const Plain&, const at::Tensor& x0)> plain;
  int64_t images = 1;  // of a sample
};

template <class Algorithm, class Options>
std::function<std::unique_ptr<RewardAlgorithm>(FlowModel&, BackpropagationOptions)> made(Options own) {
  return [own](FlowModel& model, const BackpropagationOptions& common) -> std::unique_ptr<RewardAlgorithm> {
    Options options = own;
    static_cast<BackpropagationOptions&>(options) = common;
    return std::make_unique<Algorithm>(model, options);
  };
}

void check(const Case& expected) {
  Field field;
  BackpropagationOptions options;
  options.lambda = kLambda;
  options.solver = expected.solver;
  options.steps = expected.steps;
  options.shift = kShift;
  options.guidance = expected.guidance;
  const Plain plain{field, expected.solver, shifted_times(expected.steps, 1, kShift), expected.guidance};
  std::vector<uint64_t> streams;
  for (int64_t b = 0; b < kBatch; ++b) streams.push_back(stream_of(expected.step, b, Purpose::initial_noise));
  const at::Tensor x0 = ops::philox_normal({kBatch, kElements}, {kSeed, streams}, at::kFloat, at::kCPU);
  const int64_t rows = kBatch * expected.images;
  const at::Tensor upstream = normals(7, rows);

  // ∂(−λ/rows Σ r)/∂θ where ∂r/∂images is `upstream`; rows of `dropped` count for nothing.
  const auto reference = [&](int64_t dropped) {
    const at::Tensor ends = expected.plain(plain, x0.to(at::kDouble));
    at::Tensor weights = at::full({rows, 1}, -kLambda / static_cast<double>(rows - (dropped >= 0)), at::kDouble);
    if (dropped >= 0) weights[dropped].zero_();
    return torch::autograd::grad({(weights * upstream * ends * 0.5).sum()}, {field.theta()})[0];
  };
  // carried: whether slices of images are scored and carried one after the other, or the whole batch at once.
  const auto found = [&](int micro_batch, int decode_slice, bool carried, int64_t dropped) {
    options.micro_batch = micro_batch;
    options.decode_slice = decode_slice;
    const std::unique_ptr<RewardAlgorithm> algorithm = expected.make(field, options);
    const auto rollout = algorithm->rollout({plain.conditional}, Conditioning{plain.unconditional}, {kBatch, kElements},
                                            kSeed, expected.step, true, {});
    check::report(expected.name + ": endpoints",
                  check::error_of(rollout->endpoint(), expected.plain(plain, x0.to(at::kDouble)).detach()), 2e-6);
    std::vector<float> values(static_cast<size_t>(rows));
    if (dropped >= 0) values[dropped] = NAN;
    const at::Tensor of_images = upstream.view({rows, 1, 1, kElements});
    for (int64_t begin = 0; carried && begin < rows; begin += rollout->slice()) {
      const int64_t end = std::min(begin + rollout->slice(), rows);
      rollout->decode(begin, end, true, {});
      rollout->carry(of_images.slice(0, begin, end));
    }
    algorithm->accumulate(*rollout, values, carried ? std::nullopt : std::optional(of_images), {});
    return field.taken();
  };
  const double bound = 2e-5;
  check::report(expected.name + ": gradient", check::error_of(found(0, 0, true, -1), reference(-1)), bound);
  check::report(expected.name + ": in micro-batches", check::error_of(found(2, 0, true, -1), reference(-1)), bound);
  check::report(expected.name + ": in slices", check::error_of(found(0, 2, true, -1), reference(-1)), bound);
  check::report(expected.name + ": decoded twice", check::error_of(found(1, 2, false, -1), reference(-1)), bound);
  check::report(expected.name + ": one row dropped", check::error_of(found(0, 0, true, 1), reference(1)), bound);
}

// The last K steps with their graph.
at::Tensor truncated(const Plain& plain, const at::Tensor& x0, size_t last_steps) {
  const size_t steps = plain.times.size() - 1, first = steps - last_steps;
  at::Tensor data;
  const at::Tensor x = plain.solve(x0, 0, first, data).detach();
  if (data.defined()) data = data.detach();
  return plain.solve(x, first, steps, data);
}

// One step to the data, in place of the last K.
at::Tensor jumped(const Plain& plain, const at::Tensor& x0, size_t last_steps) {
  const size_t first = plain.times.size() - 1 - last_steps;
  at::Tensor data;
  const at::Tensor x = plain.solve(x0, 0, first, data).detach();
  return x + (1 - plain.times[first]) * plain.velocity(x, plain.times[first]);
}

// The last step, and as often again from the sample noised to its start.
at::Tensor repeated_last(const Plain& plain, const at::Tensor& x0, int64_t renoisings, uint64_t step) {
  const at::Tensor end = truncated(plain, x0, 1);
  std::vector<uint64_t> streams;
  for (int64_t i = 0; i < renoisings * kBatch; ++i) streams.push_back(stream_of(step, i, Purpose::renoise));
  const at::Tensor noise =
      ops::philox_normal({renoisings * kBatch, kElements}, {kSeed, streams}, at::kFloat, at::kCPU).to(at::kDouble);
  const size_t first = plain.times.size() - 2;
  const double t = plain.times[first];
  at::Tensor data;
  const at::Tensor again =
      plain.solve(t * end.detach().repeat({renoisings, 1}) + (1 - t) * noise, first, first + 1, data);
  return at::cat({end, again});
}

// What the stream of an iteration says of a depth from fewest to most.
size_t drawn(uint64_t step, int fewest, int most) {
  const double u = ops::philox_uniform({kSeed, {stream_of(step, 0, Purpose::depth)}})[0];
  return static_cast<size_t>(fewest + static_cast<int>(std::floor(u * (most - fewest + 1))));
}

void check_all() {
  const SolverKind solvers[] = {SolverKind::euler, SolverKind::heun, SolverKind::midpoint, SolverKind::dpmpp2m};
  for (const SolverKind solver : solvers) {
    const std::string of = choices_of(solver).names[static_cast<size_t>(solver)] + ", ";
    for (const int last : {1, 2, 4}) {
      DraftOptions options;
      options.last_steps = last;
      check({of + "DRaFT-" + std::to_string(last), solver, 4, last == 2 ? 2.5 : 1.0, 2, made<Draft>(options),
             [last](const Plain& plain, const at::Tensor& x0) { return truncated(plain, x0, last); }});
    }
    DraftOptions lower_variance;
    lower_variance.renoisings = 2;
    check({of + "DRaFT-LV", solver, 3, 1.5, 6, made<Draft>(lower_variance),
           [](const Plain& plain, const at::Tensor& x0) { return repeated_last(plain, x0, 2, 6); }, 3});
    ReflOptions refl;
    refl.final_fraction = 0.5;
    for (const uint64_t step : {1, 2, 3}) {
      check({of + "ReFL, iteration " + std::to_string(step), solver, 6, 2, step, made<Refl>(refl),
             [step](const Plain& plain, const at::Tensor& x0) { return jumped(plain, x0, drawn(step, 1, 3)); }});
    }
    AlignPropOptions align;
    align.fewest_steps = 2;
    for (const uint64_t step : {1, 2, 3}) {
      check({of + "AlignProp, iteration " + std::to_string(step), solver, 4, 1, step, made<AlignProp>(align),
             [step](const Plain& plain, const at::Tensor& x0) { return truncated(plain, x0, drawn(step, 2, 4)); }});
    }
  }
}

}  // namespace

int main() {
  std::printf("%-66s %10s  %9s\n", "check", "error", "bound");
  try {
    check_all();
  } catch (const std::exception& error) {
    std::printf("failed: %s\n", error.what());
    return 1;
  }
  std::printf("\n%s\n",
              check::failures ? (std::to_string(check::failures) + " mismatches").c_str() : "all checks passed");
  return check::failures ? 1 : 0;
}
