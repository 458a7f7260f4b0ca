#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "kernels/schedule.h"
#include "ops/checks.h"
#include "ops/combination.h"
#include "ops/cuda_launch.h"
#include "ops/error.h"
#include "ops/ops.h"
#include "ops/parallel.h"

namespace eam::ops {

namespace {

// Σ_i (v − v̂)² of each sample; the gradient is written on the way.
std::vector<double> squared_errors(const kernels::Regression& regression, at::Device device) {
  int64_t samples = regression.target.samples;
  std::vector<double> sums(static_cast<size_t>(samples));
#ifdef EAM_WITH_CUDA
  if (device.is_cuda()) {
    auto options = at::TensorOptions().dtype(at::kDouble).device(device);
    at::Tensor scratch = at::empty({kernels::cuda::affine_regression_scratch(regression.target)}, options);
    at::Tensor device_sums = at::empty({samples}, options);
    launch_on(device, "affine_regression", [&](cudaStream_t stream) {
      return kernels::cuda::affine_regression(regression, scratch.mutable_data_ptr<double>(),
                                              device_sums.mutable_data_ptr<double>(), stream);
    });
    at::Tensor host = device_sums.cpu();
    sums.assign(host.const_data_ptr<double>(), host.const_data_ptr<double>() + samples);
    return sums;
  }
#else
  (void)device;
#endif
  int64_t chunks = chunks_of(regression.target.elements);
  std::vector<double> partial(static_cast<size_t>(samples * chunks));
  for_each_chunk(samples, regression.target.elements, [&](int64_t sample, int64_t begin, int64_t end, int64_t unit) {
    partial[static_cast<size_t>(unit)] = kernels::affine_regression(regression, sample, begin, end);
  });
  for (size_t unit = 0; unit < partial.size(); ++unit) sums[unit / static_cast<size_t>(chunks)] += partial[unit];
  return sums;
}

// The sums of squared errors of each sample, and in `grad` (a new tensor where it is not defined) their gradient times
// grad_scale/2.
std::vector<double> regress_sums(const Floating& velocity, const std::vector<CheckedTerm>& target, const Noise* noise,
                                 const std::vector<double>& noise_coefficients, const std::vector<double>& grad_scale,
                                 at::Tensor& grad) {
  PreparedCombination combination(velocity, target, noise, noise_coefficients, {grad_scale});
  at::Tensor contiguous = velocity->detach().contiguous();
  check_output(grad, "grad", velocity->sizes(), velocity->scalar_type(), velocity->device());
  check_overlap(grad, "grad", contiguous, velocity.name());
  combination.check_overlap(grad, "grad");
  if (!grad.defined()) grad = at::empty(velocity->sizes(), contiguous.options());
  kernels::Regression regression;
  regression.target = combination.arguments();
  regression.velocity = contiguous.const_data_ptr();
  regression.velocity_dtype = velocity.dtype();
  regression.grad_scale = combination.extra(0);
  regression.grad = grad.mutable_data_ptr();
  return squared_errors(regression, velocity->device());
}

Loss regress(const Floating& velocity, const std::vector<CheckedTerm>& target, const Noise* noise,
             const std::vector<double>& noise_coefficients, const std::vector<double>& weights,
             const at::Tensor& grad = {}) {
  int64_t samples = velocity.samples();
  int64_t elements = velocity.elements();
  std::vector<double> grad_scale;
  for (double weight : weights) {
    if (!(weight >= 0)) throw bad_value("weights", "numbers of at least 0", weight);
    grad_scale.push_back(2 * weight / (static_cast<double>(elements) * static_cast<double>(samples)));
  }
  Loss result{0, std::vector<float>(static_cast<size_t>(samples)), grad};
  std::vector<double> sums = regress_sums(velocity, target, noise, noise_coefficients, grad_scale, result.grad);
  for (size_t b = 0; b < sums.size(); ++b) {
    double loss = weights[weights.size() == 1 ? 0 : b] * sums[b] / static_cast<double>(elements);
    result.per_sample[b] = static_cast<float>(loss);
    result.loss += loss / static_cast<double>(samples);
  }
  return result;
}

// Times that were checked, and each one's weight.
std::vector<double> checked(const Floating& velocity, const std::vector<double>& t, const Matching& matching,
                            std::vector<double>& weights) {
  eam::checked(matching, "");
  std::vector<double> times = checked_times(t, velocity.samples(), matching.terminal_time);
  for (double time : times)
    weights.push_back(matching.weighting == Weighting::velocity ? 1.0
                                                                : kernels::adjoint_matching_weight(time, matching.cap));
  return times;
}

void check_factors(const std::vector<double>& factors, const std::vector<double>& times) {
  if (factors.size() == times.size()) return;
  throw bad_shape("factors", words(times.size(), " numbers, one a sample"), factors.size());
}

}  // namespace

Loss matching_loss(const at::Tensor& velocity, const at::Tensor& x1, const at::Tensor& terminal_gradient,
                   const std::vector<double>& t, const Noise& noise, const Matching& matching, const at::Tensor& grad) {
  const Floating trained(velocity, "velocity");
  std::vector<double> endpoint, gradient, noise_coefficients, weights;
  for (double time : checked(trained, t, matching, weights)) {
    kernels::NoiseTargetCoefficients c = kernels::noise_target_coefficients(time, matching.C, matching.terminal_time);
    endpoint.push_back(c.endpoint);
    gradient.push_back(c.gradient);
    noise_coefficients.push_back(c.noise);
  }
  return regress(trained, {{{x1, "x1"}, endpoint}, {{terminal_gradient, "terminalGradient"}, gradient}}, &noise,
                 noise_coefficients, weights, grad);
}

Loss matching_loss(const at::Tensor& velocity, const at::Tensor& x, const at::Tensor& x1,
                   const at::Tensor& terminal_gradient, const std::vector<double>& t, const Matching& matching,
                   const at::Tensor& grad) {
  const Floating trained(velocity, "velocity");
  std::vector<double> position, endpoint, gradient, weights;
  for (double time : checked(trained, t, matching, weights)) {
    kernels::TargetCoefficients c = kernels::target_coefficients(time, matching.C, matching.terminal_time);
    position.push_back(c.x);
    endpoint.push_back(c.endpoint);
    gradient.push_back(c.gradient);
  }
  return regress(trained,
                 {{{x, "x"}, position}, {{x1, "x1"}, endpoint}, {{terminal_gradient, "terminalGradient"}, gradient}},
                 nullptr, {}, weights, grad);
}

Loss mode_matching_loss(const at::Tensor& velocity, const at::Tensor& x1, const at::Tensor& terminal_gradient,
                        const std::vector<double>& t, const Noise& noise, const Matching& matching,
                        const std::vector<double>& factors) {
  const Floating trained(velocity, "velocity");
  std::vector<double> endpoint, gradient, own, noise_coefficients, weights;
  const std::vector<double> times = checked(trained, t, matching, weights);
  check_factors(factors, times);
  for (size_t b = 0; b < times.size(); ++b) {
    kernels::ModeTargetCoefficients c =
        kernels::mode_target_coefficients(times[b], matching.C, matching.terminal_time, factors[b]);
    endpoint.push_back(c.endpoint);
    gradient.push_back(c.gradient);
    noise_coefficients.push_back(c.noise);
    own.push_back(c.velocity);
  }
  return regress(trained, {{{x1, "x1"}, endpoint}, {{terminal_gradient, "terminalGradient"}, gradient}, {trained, own}},
                 &noise, noise_coefficients, weights);
}

Loss value_matching_loss(const at::Tensor& velocity, const at::Tensor& x1, const std::vector<double>& t,
                         const Noise& noise, const Matching& matching, const std::vector<double>& factors) {
  const Floating trained(velocity, "velocity");
  std::vector<double> endpoint, own, noise_coefficients, weights;
  const std::vector<double> times = checked(trained, t, matching, weights);
  check_factors(factors, times);
  for (size_t b = 0; b < times.size(); ++b) {
    kernels::ValueTargetCoefficients c =
        kernels::value_target_coefficients(times[b], matching.terminal_time, factors[b]);
    endpoint.push_back(c.endpoint);
    noise_coefficients.push_back(c.noise);
    own.push_back(c.velocity);
  }
  return regress(trained, {{{x1, "x1"}, endpoint}, {trained, own}}, &noise, noise_coefficients, weights);
}

std::vector<double> log_ratio_terms(const at::Tensor& velocity, const at::Tensor& pretrained, const at::Tensor& x1,
                                    const std::vector<double>& t, const Noise& noise, double terminal_time) {
  const Floating after(velocity, "velocity"), before(pretrained, "pretrained");
  check_like(before, velocity, "velocity");
  std::vector<double> endpoint, noise_coefficients;
  const std::vector<double> times = checked_times(t, after.samples(), terminal_time);
  for (double time : times) {
    if (!(time < terminal_time)) {
      throw bad_value("t", words("numbers below the terminal time, ", terminal_time), time);
    }
    kernels::ConditionalVelocityCoefficients c = kernels::conditional_velocity_coefficients(time, terminal_time);
    endpoint.push_back(c.endpoint);
    noise_coefficients.push_back(c.noise);
  }
  const std::vector<CheckedTerm> target = {{{x1, "x1"}, endpoint}};
  at::Tensor unused;  // the kernel writes a gradient
  std::vector<double> terms = regress_sums(before, target, &noise, noise_coefficients, {0}, unused);
  const std::vector<double> errors = regress_sums(after, target, &noise, noise_coefficients, {0}, unused);
  for (size_t b = 0; b < terms.size(); ++b) terms[b] = kernels::log_ratio_weight(times[b]) * (terms[b] - errors[b]);
  return terms;
}

Loss flow_matching_loss(const at::Tensor& velocity, const at::Tensor& x1, const Noise& noise, const at::Tensor& grad) {
  return regress({velocity, "velocity"}, {{{x1, "x1"}, {1.0}}}, &noise, {-1.0}, {1.0}, grad);
}

Loss regress_velocity(const at::Tensor& velocity, const std::vector<Term>& target, const Noise* noise,
                      const std::vector<double>& noise_coefficients, const std::vector<double>& weights) {
  const Floating trained(velocity, "velocity");
  std::vector<CheckedTerm> terms;
  for (size_t k = 0; k < target.size(); ++k) {
    terms.push_back({{target[k].tensor, words("target[", k, "]")}, target[k].coefficients});
  }
  return regress(trained, terms, noise, noise_coefficients, weights);
}

}  // namespace eam::ops
