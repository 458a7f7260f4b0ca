#pragma once

#include <ATen/core/Tensor.h>

namespace eam::nn {

// How a condition steers one part of a transformer's block, [B, 1, width] each (DiT, arXiv 2212.09748, section 3.2).
struct Modulation {
  at::Tensor shift, scale;  // of the part's normalised input
  at::Tensor gate;          // of its output
};

// LayerNorm without weights, which the modulation brings.
at::Tensor layer_norm(const at::Tensor& tokens, double epsilon);

// (1 + scale) ⊙ normed + shift
at::Tensor modulate(const at::Tensor& normed, const Modulation& by);

}  // namespace eam::nn
