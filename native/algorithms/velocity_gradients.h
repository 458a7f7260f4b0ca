#pragma once

#include <string>
#include <vector>

#include "ops/flow_model.h"

namespace eam {

struct VelocityGradients {
  at::Tensor velocity, x;  // of x's shape
  NamedTensors tensors;
};

// The velocity at (x, t), and the gradients of Σ upstream ⊙ velocity with respect to x and to the trainable tensors of
// these names; zeros where the velocity does not depend on one. Error(config) for a name that is not trainable,
// Error(shape) where upstream is not of the velocity's shape.
VelocityGradients velocity_gradients(FlowModel& model, const at::Tensor& x, const at::Tensor& t,
                                     const Conditioning& conditioning, const at::Tensor& upstream,
                                     const std::vector<std::string>& names);

}  // namespace eam
