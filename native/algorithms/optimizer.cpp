#include "algorithms/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "ops/error.h"
#include "ops/named_tensors.h"
#include "ops/ops.h"
#include "ops/stage.h"

namespace eam {

namespace {

void check(bool valid, const char* name, double value, const char* expected) {
  if (valid) return;
  std::ostringstream message;
  message << name << " is " << value << ", expected " << expected;
  throw Error(ErrorKind::config, message.str());
}

}  // namespace

Optimizer::Optimizer(NamedTensors parameters, const OptimizerOptions& options)
    : options_(options), parameters_(std::move(parameters)) {
  check(options.beta1 >= 0 && options.beta1 < 1, "beta1", options.beta1, "0 or more and below 1");
  check(options.beta2 >= 0 && options.beta2 < 1, "beta2", options.beta2, "0 or more and below 1");
  check(options.epsilon > 0, "epsilon", options.epsilon, "a number above 0");
  check(options.weight_decay >= 0, "weightDecay", options.weight_decay, "0 or more");
  check(options.ema_decay >= 0 && options.ema_decay < 1, "emaDecay", options.ema_decay, "0 or more and below 1");
  for (const auto& [name, parameter] : parameters_) {
    if (parameter.scalar_type() != at::kFloat) {
      std::ostringstream message;
      message << name << " is " << parameter.scalar_type()
              << ", expected float32: train adapters, or load the model as float32";
      throw Error(ErrorKind::config, message.str());
    }
    first_moments_.push_back(at::zeros_like(parameter).detach());
    second_moments_.push_back(at::zeros_like(parameter).detach());
    if (options.ema_decay > 0) averages_.push_back(parameter.detach().clone());
  }
}

Optimizer::Step Optimizer::step(double learning_rate, double max_norm) {
  check(learning_rate >= 0 && std::isfinite(learning_rate), "learningRate", learning_rate, "a finite number from 0");
  check(max_norm > 0, "maxNorm", max_norm, "a number above 0, or Infinity");
  at::NoGradGuard no_grad;
  const ops::Stage stage("eam::stage::update");

  std::vector<at::Tensor> parameters, gradients, first, second;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& gradient = parameters_[i].second.mutable_grad();
    if (!gradient.defined()) continue;
    parameters.push_back(parameters_[i].second.detach());
    gradients.push_back(gradient.detach().contiguous());
    first.push_back(first_moments_[i]);
    second.push_back(second_moments_[i]);
    gradient.reset();
  }
  if (gradients.empty()) {
    throw Error(ErrorKind::config, "no parameter has a gradient: accumulate a loss before each optimizer step");
  }

  const double norm = ops::global_norm(gradients);
  if (!std::isfinite(norm)) {
    ++skipped_count_;
    return {norm, true};
  }
  ++step_count_;
  ops::adamw(parameters, gradients, first, second,
             {learning_rate, options_.beta1, options_.beta2, options_.epsilon, options_.weight_decay, step_count_,
              norm > max_norm ? max_norm / norm : 1.0});
  if (averages()) {
    std::vector<at::Tensor> all;
    for (const auto& [name, parameter] : parameters_) all.push_back(parameter.detach());
    const auto n = static_cast<double>(step_count_);
    ops::ema(averages_, all, std::min(options_.ema_decay, (1 + n) / (10 + n)));
  }
  return {norm, false};
}

NamedTensors Optimizer::state() const {
  NamedTensors state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i].first;
    state.emplace_back("m." + name, first_moments_[i]);
    state.emplace_back("v." + name, second_moments_[i]);
    if (averages()) state.emplace_back("ema." + name, averages_[i]);
  }
  return state;
}

void Optimizer::load(const NamedTensors& source, int64_t step_count) {
  if (step_count < 0) {
    throw Error(ErrorKind::checkpoint,
                "the optimizer's step count is " + std::to_string(step_count) + ", expected 0 or more");
  }
  copy_named(state(), source, "the optimizer's state");
  step_count_ = step_count;
  // Whatever an interrupted step had accumulated belongs to the state that was replaced.
  for (const auto& [name, parameter] : parameters_) parameter.mutable_grad().reset();
}

AveragedWeights::AveragedWeights(const Optimizer& optimizer) {
  if (!optimizer.averages()) {
    throw Error(ErrorKind::config, "the optimizer keeps no averaged weights: give it an emaDecay above 0");
  }
  at::NoGradGuard no_grad;
  for (const auto& [name, parameter] : optimizer.parameters_) {
    parameters_.push_back(parameter.detach());
    trained_.push_back(parameters_.back().clone());
  }
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].copy_(optimizer.averages_[i]);
}

AveragedWeights::~AveragedWeights() {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].copy_(trained_[i]);
}

}  // namespace eam
