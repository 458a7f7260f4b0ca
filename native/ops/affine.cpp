
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <algorithm>
#include <cmath>

#include "kernels/philox.h"
#include "kernels/schedule.h"
#include "ops/checks.h"
#include "ops/combination.h"
#include "ops/error.h"
#include "ops/ops.h"

namespace eam::ops {

namespace {

// The step [t, t + h] of a stochastic rollout.
void check_step(double t, double h) {
  if (!(t >= 0 && t < 1)) throw bad_value("t", "a time in [0, 1)", t);
  if (!(h > 0 && static_cast<float>(t + h) <= 1))
    throw bad_value("h", "a positive step that ends at most at time 1", words(h, " at t = ", t));
}

// What the backward pass of a combination needs of its terms; an autograd context keeps nothing but tensors and
// IValues.
struct TermFacts final : torch::CustomClassHolder {
  std::vector<std::vector<double>> coefficients;
  std::vector<at::ScalarType> dtypes;
};

// A combination that autograd records: each term's gradient is the result's, times the term's coefficients.
struct AffineFunction : torch::autograd::Function<AffineFunction> {
  // A TensorList, because of a vector autograd would see nothing.
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList tensors,
                            const std::vector<std::vector<double>>& coefficients) {
    auto facts = c10::make_intrusive<TermFacts>();
    facts->coefficients = coefficients;
    std::vector<Term> terms;
    for (size_t k = 0; k < tensors.size(); ++k) {
      facts->dtypes.push_back(tensors[k].scalar_type());
      terms.push_back({tensors[k].detach(), coefficients[k]});
    }
    context->saved_data["facts"] = c10::IValue::make_capsule(std::move(facts));
    return affine(terms);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& upstream) {
    const auto& facts = static_cast<const TermFacts&>(*context->saved_data["facts"].toCapsule());
    const size_t terms = facts.coefficients.size();
    torch::autograd::variable_list gradients(terms + 1);  // the coefficients take none
    for (size_t k = 0; k < terms; ++k) {
      if (!context->needs_input_grad(k)) continue;
      gradients[k] = affine({{upstream[0], facts.coefficients[k]}}).to(facts.dtypes[k]);
    }
    return gradients;
  }
};

}  // namespace

Coefficients coefficients(double t, double C) {
  if (!(t >= 0 && t <= 1)) throw bad_value("t", "a time in [0, 1]", t);
  if (!(C > 0.5) || !std::isfinite(C)) throw bad_value("C", "a finite number above 0.5", C);
  return kernels::coefficients(t, C);
}

std::array<uint32_t, 4> philox_words(const std::array<uint32_t, 4>& counter, const std::array<uint32_t, 2>& key) {
  auto [word] = kernels::philox4x32_10({{counter[0], counter[1], counter[2], counter[3]}}, key[0], key[1]);
  return {word[0], word[1], word[2], word[3]};
}

at::Tensor philox_normal(at::IntArrayRef shape, const PhiloxNoise& noise, at::ScalarType dtype, at::Device device,
                         const at::Tensor& out) {
  kernel_dtype(dtype, "dtype");
  check_device(device);
  for (int64_t size : shape)
    if (size < 1) throw bad_shape("shape", "positive sizes", shape);
  if (shape.empty()) throw bad_shape("shape", "at least one dimension", "[]");
  // A combination of nothing but noise; the tensor only carries shape and device. One stream numbers the whole tensor:
  // that is one sample, however long the first dimension is.
  std::vector<int64_t> samples = shape.vec();
  if (noise.streams.size() == 1) samples = {1, c10::multiply_integers(shape)};
  at::Tensor like = at::empty({1}, at::TensorOptions().dtype(dtype).device(device)).expand(samples);
  Noise generator{std::nullopt, noise};
  return evaluate(PreparedCombination({like, "shape"}, {}, &generator, {1.0}), shape, dtype, like.device(), out);
}

std::vector<double> philox_uniform(const PhiloxNoise& noise) {
  std::vector<double> uniforms;
  for (uint64_t stream : noise.streams)
    uniforms.push_back(kernels::uniform_of(kernels::philox_block(noise.seed, stream, 0).word[0]));
  return uniforms;
}

at::Tensor affine(const std::vector<Term>& terms, const Noise* noise, const std::vector<double>& noise_coefficients) {
  if (terms.empty()) throw bad_shape("terms", "at least one", "none");
  const auto recorded = [](const Term& term) { return term.tensor.requires_grad(); };
  if (!noise && at::GradMode::is_enabled() && std::any_of(terms.begin(), terms.end(), recorded)) {
    std::vector<at::Tensor> tensors;
    std::vector<std::vector<double>> coefficients;
    for (const Term& term : terms) {
      tensors.push_back(term.tensor);
      coefficients.push_back(term.coefficients);
    }
    return AffineFunction::apply(at::TensorList(tensors), coefficients);
  }
  std::vector<CheckedTerm> checked;
  for (size_t k = 0; k < terms.size(); ++k) {
    checked.push_back({{terms[k].tensor, words("terms[", k, "]")}, terms[k].coefficients});
  }
  return affine_checked(checked, noise, noise_coefficients);
}

at::Tensor renoise(const at::Tensor& x1, const std::vector<double>& t, const Noise& noise, double terminal_time,
                   const at::Tensor& out) {
  const Floating checked(x1, "x1");
  std::vector<double> endpoint, noise_coefficients;
  for (double time : checked_times(t, checked.samples(), terminal_time)) {
    kernels::ForwardCoefficients c = kernels::forward_coefficients(time, terminal_time);
    endpoint.push_back(c.endpoint);
    noise_coefficients.push_back(c.noise);
  }
  return affine_checked({{checked, endpoint}}, &noise, noise_coefficients, out);
}

at::Tensor terminal_gradient(const at::Tensor& x, const at::Tensor& velocity, const at::Tensor& reward_grad,
                             double lambda, double time, const at::Tensor& out) {
  check_finite(lambda, "lambda");
  if (!(time >= 0 && time < 1)) throw bad_value("time", "a time in [0, 1), since the score divides by 1 − time", time);
  kernels::TerminalGradientCoefficients c = kernels::score_coefficients(time);
  return affine_checked(
      {{{x, "x"}, {c.x}}, {{velocity, "velocity"}, {c.velocity}}, {{reward_grad, "rewardGrad"}, {lambda}}}, nullptr, {},
      out);
}

at::Tensor memoryless_step(const at::Tensor& x, const at::Tensor& velocity, double t, double h, const Noise& noise,
                           const at::Tensor& out) {
  check_step(t, h);
  kernels::MemorylessStepCoefficients c = kernels::memoryless_step_coefficients(t, h);
  return affine_checked({{{x, "x"}, {c.x}}, {{velocity, "velocity"}, {c.velocity}}}, &noise, {c.noise}, out);
}

at::Tensor lean_adjoint_step(const at::Tensor& adjoint, const at::Tensor& vjp, double t, double h,
                             const at::Tensor& out) {
  check_step(t, h);
  kernels::LeanAdjointStepCoefficients c = kernels::lean_adjoint_step_coefficients(t, h);
  return affine_checked({{{adjoint, "adjoint"}, {c.adjoint}}, {{vjp, "vjp"}, {c.vjp}}}, nullptr, {}, out);
}

}  // namespace eam::ops
