#include "nn/recorded/recorded_model.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <utility>

#include "nn/layers/checks.h"

namespace eam::nn {

namespace {

constexpr size_t most_programs = 64;  // conditioning of many lengths must not pile them up

std::vector<int64_t> key_of(RecordedPart part, const std::vector<at::Tensor>& inputs) {
  std::vector<int64_t> key = {static_cast<int64_t>(part)};
  for (const at::Tensor& input : inputs) {
    key.push_back(static_cast<int64_t>(input.scalar_type()));
    key.push_back(input.dim());
    key.insert(key.end(), input.sizes().begin(), input.sizes().end());
  }
  return key;
}

}  // namespace

RecordedModel::RecordedModel(RecordedModelParts parts) : parts_(std::move(parts)) {
  at::NoGradGuard no_grad;
  for (auto& [name, tensor] : parts_.frozen) {
    tensor = tensor.to(parts_.device, tensor.is_floating_point() ? parts_.dtype : tensor.scalar_type());
  }
  for (auto& [name, tensor] : parts_.trainable) {
    const at::Tensor first = tensor.to(parts_.device, at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
    first_values_.emplace_back(name, first);
    tensor = first.clone().requires_grad_(true);
  }
}

at::Tensor RecordedModel::velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) {
  return velocity_with(RecordedPart::velocity, parts_.trainable, x, t, conditioning);
}

at::Tensor RecordedModel::pretrained_velocity(const at::Tensor& x, const at::Tensor& t,
                                              const Conditioning& conditioning) {
  return velocity_with(RecordedPart::pretrained_velocity, first_values_, x, t, conditioning);
}

at::Tensor RecordedModel::images(const at::Tensor& latents) {
  check_device_of("latents", latents, "the model", parts_.device);
  return run(RecordedPart::images, {latents}, first_values_);
}

NamedTensors RecordedModel::weights() {
  NamedTensors all = parts_.frozen;
  all.insert(all.end(), parts_.trainable.begin(), parts_.trainable.end());
  return all;
}

at::Tensor RecordedModel::velocity_with(RecordedPart part, const NamedTensors& trainable, const at::Tensor& x,
                                        const at::Tensor& t, const Conditioning& conditioning) {
  check_device_of("x", x, "the model", parts_.device);
  std::vector<at::Tensor> inputs = {x, t};
  for (size_t i = 0; i < conditioning.size(); ++i) {
    check_device_of(words("conditioning[", i, "]"), conditioning[i], "the model", parts_.device);
    inputs.push_back(conditioning[i]);
  }
  return run(part, std::move(inputs), trainable).to(x.scalar_type());
}

at::Tensor RecordedModel::run(RecordedPart part, std::vector<at::Tensor> inputs, const NamedTensors& trainable) {
  std::vector<int64_t> key = key_of(part, inputs);
  for (const auto& [name, tensor] : parts_.frozen) inputs.push_back(tensor);
  for (const auto& [name, tensor] : trainable) inputs.push_back(tensor);
  auto found = programs_.find(key);
  if (found == programs_.end()) {
    std::shared_ptr<const Program> program = parts_.record(part, inputs);
    if (programs_.size() == most_programs) programs_.clear();
    found = programs_.emplace(std::move(key), std::move(program)).first;
  }
  return found->second->run(inputs).contiguous();
}

}  // namespace eam::nn
