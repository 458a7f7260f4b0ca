#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace eam::nn {

// Rotary positions (RoPE, arXiv 2104.09864) over four axes: the image's number, row, column, and place in the text.
// Text tokens have the last one alone, image tokens row and column. For each token and each pair of neighbouring
// numbers of a head: e^{i angle}, complex [text + rows · columns, head_dim / 2], complex64, or complex128 for float64
// networks. The angles are computed in float64 whatever the dtype.
at::Tensor rotary_positions(int64_t text, int64_t rows, int64_t columns, const std::vector<int64_t>& axes, double theta,
                            at::ScalarType dtype, at::Device device);

// Turns every head of x [B, L, heads · head_dim] by the positions [L, head_dim / 2], computed in the positions'
// precision.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& positions);

}  // namespace eam::nn
