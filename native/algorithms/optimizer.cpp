#include "algorithms/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>

#include "ops/error.h"
#include "ops/named_tensors.h"
#include "ops/ops.h"
#include "ops/stage.h"

namespace eam {

Optimizer::Optimizer(NamedTensors parameters, const OptimizerOptions& options)
    : options_(checked(options, "AdamW")), parameters_(std::move(parameters)) {
  for (const auto& [name, parameter] : parameters_) {
    if (parameter.scalar_type() != at::kFloat) {
      throw bad_value(name, "float32 (train adapters, or load the model as float32)", parameter.scalar_type());
    }
    first_moments_.push_back(at::zeros_like(parameter).detach());
    second_moments_.push_back(at::zeros_like(parameter).detach());
    if (options.ema_decay > 0) averages_.push_back(parameter.detach().clone());
  }
}

Optimizer::Step Optimizer::step(double learning_rate, double max_norm) {
  if (!(learning_rate >= 0 && std::isfinite(learning_rate))) {
    throw bad_value("step: learningRate", "a finite number of at least 0", learning_rate);
  }
  if (!(max_norm > 0)) throw bad_value("step: maxNorm", "a number above 0, or Infinity", max_norm);
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
             {learning_rate, options_.betas.first, options_.betas.second, options_.epsilon, options_.weight_decay,
              step_count_, norm > max_norm ? max_norm / norm : 1.0});
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
    throw bad_value("the optimizer's step count", "at least 0", step_count, ErrorKind::checkpoint);
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
