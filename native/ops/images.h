#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "ops/ops.h"

// What data sets, rewards and reports do with batches of images [B, channels, H, W]. Error(shape) names the argument.
namespace eam::ops {

// The images of all parts, in their order. Error(shape) for none, and for parts that differ in more than their count.
at::Tensor join_images(const std::vector<at::Tensor>& parts);

// Row r of the result is scale · images[indices[r]] + offset, moved down and right by shifts[2r], shifts[2r + 1]
// pixels; what comes into view is `offset`, the value of an empty (zero) pixel. shifts may be empty.
at::Tensor gather_images(const at::Tensor& images, const std::vector<int64_t>& indices,
                         const std::vector<int64_t>& shifts, double scale, double offset);

// The mean over all elements of each image.
struct MeanIntensity {
  std::vector<float> values;  // [B]
  at::Tensor grad;            // ∂(Σ values)/∂images where wanted
};
MeanIntensity mean_intensity(const at::Tensor& images, bool want_grad);

// The mean Euclidean distance over all pairs of different rows of features [B, F], B ≥ 2.
double mean_pairwise_distance(const at::Tensor& features);

// The mean of 1 − cos(x, y) over the same pairs. A row of zeros is at distance 1 from all others.
double mean_pairwise_cosine_distance(const at::Tensor& features);

struct ImageGrid {
  int64_t width, height, channels;
  std::vector<uint8_t> data;  // rows of pixels, channels interleaved
};

// Images in [0, 1], clamped and rounded to bytes, row by row in `columns` columns with `padding` white pixels around
// each. Non-finite values are black.
ImageGrid image_grid(const at::Tensor& images, int64_t columns, int64_t padding);

// Σ_k weights[k] tensors[k], all of one shape.
at::Tensor weighted_sum(const std::vector<at::Tensor>& tensors, const std::vector<double>& weights);

}  // namespace eam::ops
