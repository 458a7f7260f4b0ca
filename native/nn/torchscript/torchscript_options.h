#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ops/options.h"

namespace eam::nn {

// What forward takes for the time and returns for the velocity. Data are at t = 1, noise at t = 0.
enum class VelocityConvention { rectified_flow, sigma, sigma_1000 };

const Choices& choices_of(VelocityConvention);

// How the pretrained velocity comes from a module whose parameters are trained; one of the three, or none.
struct PretrainedPass {
  std::optional<std::string> module;  // a file
  std::optional<std::string> flag;    // an argument of forward
  bool flag_value = false;            // in the pretrained pass
  std::vector<std::string> zeroed;    // ends of names

  static const OptionTable& table();
};

struct TorchScriptModelConfig {
  std::string module;                  // a file
  std::optional<std::string> decoder;  // a file
  std::vector<int64_t> shape;          // of one latent
  VelocityConvention convention = VelocityConvention::rectified_flow;
  std::vector<std::string> conditioning;              // names of arguments, in the order of the tensors
  std::optional<std::vector<std::string>> trainable;  // ends of names
  std::optional<PretrainedPass> pretrained;
  bool pretraining = false;
  double latent_variance = 1;

  static const OptionTable& table();
};

}  // namespace eam::nn
