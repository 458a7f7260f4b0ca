// Checks Adjoint Matching without Node, on velocities whose adjoints are known: those of the reference vectors, read as
// plain numbers from the standard input (test/training/adjoint-matching.test.ts writes them), and a linear field whose
// Jacobian is not symmetric. Exits with 1 on a mismatch.

#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "algorithms/adjoint_matching.h"
#include "ops/error.h"

namespace {

using namespace eam;

int failures = 0;

// error and bound are relative to the largest expected value.
void report(const std::string& what, const at::Tensor& found, const at::Tensor& expected, double bound) {
  const double error =
      (found.to(at::kDouble) - expected).abs().max().item<double>() / expected.abs().max().item<double>();
  const bool passed = error <= bound;  // false for NaN
  failures += !passed;
  std::printf("%-66s %10.2e  %9.1e  %s\n", what.c_str(), error, bound, passed ? "ok" : "MISMATCH");
}

// A pretrained field and, as the fine-tuned one, the field plus θ times a fixed function.
class Field : public FlowModel {
 public:
  Field() : theta_(at::full({}, 0.1, at::kDouble).requires_grad_(true)) {}

  at::Tensor velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override {
    return pretrained_velocity(x, t, conditioning) + theta_ * added(x);
  }
  at::Tensor images(const at::Tensor& latents) override { return latents.view({latents.size(0), 1, 1, -1}); }
  NamedTensors trainable() override { return {{"theta", theta_}}; }
  NamedTensors weights() override { return {}; }
  bool pretrained_is_frozen() const override { return true; }

  virtual at::Tensor added(const at::Tensor& x) const = 0;
  const at::Tensor& theta() const { return theta_; }

 private:
  at::Tensor theta_;
};

struct VectorsField final : Field {
  at::Tensor pretrained_velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning&) override {
    const at::Tensor time = t.to(at::kDouble).unsqueeze(1);
    return at::sin(3 * x) * (1 - time) + 0.5 * x * time - 0.2;
  }
  at::Tensor added(const at::Tensor& x) const override { return at::cos(x); }
};

struct LinearField final : Field {
  at::Tensor pretrained_velocity(const at::Tensor& x, const at::Tensor&, const Conditioning&) override {
    return x.matmul(jacobian.t());
  }
  at::Tensor added(const at::Tensor& x) const override { return at::ones_like(x); }

  // ∂v_i/∂x_j at (i, j): a rotation and a shear, far from its transpose.
  const at::Tensor jacobian = at::tensor({0.3, -1.2, 0.0, 0.9, 0.1, 2.0, -0.4, 0.0, 0.5}, at::kDouble).view({3, 3});
};

const Conditioning kNone = {at::zeros({1}, at::kDouble)};

struct Case {
  std::string name;
  Field& field;
  int steps;
  double lambda;
  at::Tensor x0;  // [B, N]
  std::vector<ops::Noise> noise;
  at::Tensor reward_gradient;      // ∂r/∂x at the endpoint, [B, N]
  std::vector<at::Tensor> points;  // x_k and a_k at the K steps
  std::vector<at::Tensor> adjoints;
};

// The last j steps alone in the loss, for each j: the terms are then told apart, and with them the adjoints.
void check(const Case& expected) {
  const double h = 1.0 / expected.steps;
  at::Tensor sum = at::zeros({expected.x0.size(0)}, at::kDouble), slope = at::zeros({}, at::kDouble);
  for (int last = 1; last <= expected.steps; ++last) {
    const int k = expected.steps - last;
    const double sigma = std::sqrt(2 * (1 - k * h + h) / (k * h + h));
    const at::Tensor moved = 2 / sigma * expected.field.added(expected.points[k]);
    const at::Tensor residual = moved * expected.field.theta().detach() + sigma * expected.adjoints[k];
    sum = sum + residual.square().mean(1);
    slope = slope + (2 * residual * moved).mean();

    AdjointMatchingOptions options;
    options.lambda = expected.lambda;
    options.steps = expected.steps;
    options.drawn_steps = 0;
    options.final_fraction = last * h;
    AdjointMatching algorithm(expected.field, options);
    auto rollout = algorithm.rollout(kNone, std::nullopt, expected.x0, expected.noise, 0, 0, {});
    const std::string what = expected.name + ", the last " + std::to_string(last) + " steps: ";
    if (last == 1) {
      // X̂_1, without the last step's noise.
      const at::Tensor& x = expected.points[expected.steps - 1];
      const at::Tensor t = at::full({x.size(0)}, (expected.steps - 1) * h, at::kFloat);
      const at::Tensor denoised = x + h * expected.field.pretrained_velocity(x, t, kNone);
      report(expected.name + ": endpoint", rollout->endpoint(), denoised, 1e-6);
    }
    expected.field.theta().mutable_grad() = at::Tensor();
    const std::vector<float> values(static_cast<size_t>(expected.x0.size(0)));
    const at::Tensor images = rollout->decode(0, expected.x0.size(0), true, {});
    const StepMetrics metrics = algorithm.accumulate(*rollout, values, expected.reward_gradient.view_as(images), {});
    report(what + "loss", at::tensor(at::ArrayRef<float>(metrics.per_sample)), sum / last, 1e-5);
    report(what + "gradient", expected.field.theta().grad(), slope / last, 1e-5);
  }
}

at::Tensor read(int64_t rows, int64_t columns) {
  std::vector<double> numbers(static_cast<size_t>(rows * columns));
  for (double& number : numbers) {
    if (!(std::cin >> number)) throw Error(ErrorKind::config, "the standard input ends too soon");
  }
  return at::tensor(numbers, at::kDouble).view({rows, columns});
}

// steps, elements, λ, x0, noise, states after each step, ∂r/∂x at the last one, adjoints.
void check_vectors() {
  int steps;
  int64_t elements;
  double lambda;
  std::cin >> steps >> elements >> lambda;
  VectorsField field;
  Case expected{"vectors", field, steps, lambda, read(1, elements), {}, {}, {}, {}};
  for (int k = 0; k < steps; ++k) expected.noise.push_back({read(1, elements), {}});
  expected.points.push_back(expected.x0);
  for (int k = 0; k < steps; ++k) expected.points.push_back(read(1, elements));
  expected.reward_gradient = read(1, elements);
  for (int k = 0; k < steps; ++k) expected.adjoints.push_back(read(1, elements));
  check(expected);
}

// With v = J x the lean adjoint is a recursion of its own, in Jᵀ: a Jacobian-vector product, J a, gives another one.
void check_linear() {
  LinearField field;
  const int steps = 6;
  const int64_t batch = 4, elements = 3;
  const double h = 1.0 / steps, lambda = 1.7;
  const auto normals = [&](uint64_t stream) {
    return ops::philox_normal({batch, elements}, {3, {stream}}, at::kDouble, at::kCPU);
  };
  Case expected{"linear field", field, steps, lambda, normals(0), {}, normals(1), {}, {}};
  at::Tensor x = expected.x0;
  for (int k = 0; k < steps; ++k) {
    const at::Tensor noise = normals(static_cast<uint64_t>(k) + 2);
    const double t = k * h;
    expected.noise.push_back({noise, {}});
    expected.points.push_back(x);
    const at::Tensor velocity = x.matmul(field.jacobian.t()) + field.theta().detach();
    x = x + h * (2 * velocity - x / (t + h)) + std::sqrt(h * 2 * (1 - t + h) / (t + h)) * noise;
  }
  at::Tensor adjoint = -lambda * expected.reward_gradient, transposed = adjoint;
  for (int k = steps - 1; k >= 0; --k) {
    const double t = k * h;
    adjoint = adjoint + h * (2 * adjoint.matmul(field.jacobian) - adjoint / (t + h));
    transposed = transposed + h * (2 * transposed.matmul(field.jacobian.t()) - transposed / (t + h));
    expected.adjoints.insert(expected.adjoints.begin(), adjoint);
  }
  const double apart = (adjoint - transposed).abs().max().item<double>() / adjoint.abs().max().item<double>();
  if (apart < 0.1) throw Error(ErrorKind::config, "the Jacobian is too symmetric to tell J a from Jᵀ a");
  check(expected);
}

}  // namespace

int main() {
  std::printf("%-66s %10s  %9s\n", "check", "error", "bound");
  try {
    check_linear();
    check_vectors();
  } catch (const std::exception& error) {
    std::printf("failed: %s\n", error.what());
    return 1;
  }
  std::printf("\n%s\n", failures ? (std::to_string(failures) + " mismatches").c_str() : "all checks passed");
  return failures ? 1 : 0;
}
