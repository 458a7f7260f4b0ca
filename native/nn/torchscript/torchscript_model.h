#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/torchscript/torchscript_options.h"
#include "ops/flow_model.h"

namespace eam::nn {

// A velocity network that a TorchScript module computes:
//
//   forward(x: Tensor, t: Tensor, …) -> Tensor
//
// x is [B, shape…] float32, t [B] float32, and the result of x's shape and of a floating type; the further arguments
// are the conditioning, each a Tensor with a row a sample, and the flag of the pretrained pass. The module is in
// evaluation mode. Its parameters train by their own names; the file's code is run by whoever loads it.
class TorchScriptModel final : public FlowModel {
 public:
  // `weights`: parameters by name, in place of the module's own. Error(config) for a module that does not fit the
  // configuration, Error(checkpoint) for weights that do not fit the module; both name the file.
  TorchScriptModel(const TorchScriptModelConfig& config, const NamedTensors& weights, at::Device device);
  ~TorchScriptModel() override;

  // Error(config), which names the module and what it was given, where forward fails or returns something else.
  at::Tensor velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override;
  at::Tensor pretrained_velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override;
  at::Tensor images(const at::Tensor& latents) override;
  double latent_variance() const override { return config_.latent_variance; }
  NamedTensors trainable() override { return trainable_; }
  NamedTensors weights() override { return parameters_; }
  bool pretrained_is_frozen() const override { return config_.pretrained.has_value() && !config_.pretraining; }

 private:
  struct Scripts;

  void choose_trainable();
  void choose_pretrained(const NamedTensors& weights);
  void check(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) const;
  at::Tensor pretrained_pass(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning);
  void check_frozen(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning);

  const TorchScriptModelConfig config_;
  const at::Device device_;
  std::unique_ptr<Scripts> scripts_;
  NamedTensors parameters_, trainable_;
  bool frozen_is_checked_ = false;
};

}  // namespace eam::nn
