#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "ops/flow_model.h"

namespace eam::nn {

// The tensors of a network under their names, in order of creation. Each is drawn from a Philox stream of its own,
// numbered by that order (Purpose::initialisation), so an architecture and a seed determine the weights. On the meta
// device they have a shape and no numbers.
class Parameters {
 public:
  Parameters(uint64_t seed, at::ScalarType dtype, at::Device device);

  at::Tensor normal(std::string name, at::IntArrayRef shape, double standard_deviation);
  at::Tensor zeros(std::string name, at::IntArrayRef shape);

  void require_grad(bool required) const;
  const NamedTensors& named() const { return named_; }

 private:
  uint64_t seed_;
  at::ScalarType dtype_;
  at::Device device_;
  NamedTensors named_;
};

}  // namespace eam::nn
