#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nn/layers/script_module.h"
#include "nn/torchscript/torchscript_options.h"
#include "ops/flow_model.h"

namespace eam::nn {

// A module whose forward computes a velocity in some convention, and what its arguments stand for.
class VelocityScript {
 public:
  // conditioning: the names of the arguments that take the conditioning's tensors; flag: the name of an argument that
  // is a bool, where there is one. A module of another signature is an Error(config) that names the file.
  VelocityScript(std::string path, VelocityConvention convention, const std::vector<std::string>& conditioning,
                 const std::optional<std::string>& flag, at::Device device);

  // The velocity in the package's convention, float32 of x's shape. The module is given copies, so that it may change
  // its arguments. Error(config) where it fails, or returns something else.
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning, bool flag);

  // Its parameters by name. Two names of one tensor become one parameter, under the first of them.
  const NamedTensors& parameters() const { return parameters_; }

  // Those of them that required a gradient when the module was saved.
  const NamedTensors& required_gradient() const { return required_gradient_; }

  torch::jit::Module& module() { return module_; }

  // Puts a tensor in the place of a parameter.
  void set_parameter(const std::string& name, const at::Tensor& value);

 private:
  // What an argument of forward is given.
  struct Role {
    enum Kind { x, t, conditioning, flag, fallback } kind;
    size_t index = 0;  // in the conditioning
  };

  void read_signature(const std::vector<std::string>& conditioning, const std::optional<std::string>& flag);
  void read_parameters();
  std::vector<c10::IValue> inputs_of(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning,
                                     bool flag) const;

  const std::string path_;
  const VelocityConvention convention_;
  torch::jit::Module module_;
  std::vector<Role> roles_;
  NamedTensors parameters_, required_gradient_;
  std::vector<std::pair<std::string, std::string>> twins_;  // another name of a parameter, and the parameter's
};

}  // namespace eam::nn
