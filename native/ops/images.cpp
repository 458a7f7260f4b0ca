#include "ops/images.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/nan_to_num.h>
#include <ATen/ops/pdist.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "kernels/affine.h"

namespace eam::ops {

namespace {

void check_images(const at::Tensor& images) {
  if (images.dim() != 4 || !images.is_floating_point()) {
    throw bad_shape("images", "floating-point images [B, channels, H, W]",
                    words(images.scalar_type(), " ", images.sizes()));
  }
}

void check_features(const at::Tensor& features) {
  if (features.dim() == 2 && features.size(0) >= 2 && features.is_floating_point()) return;
  throw bad_shape("features", "floating-point [B, F] with at least two rows",
                  words(features.scalar_type(), " ", features.sizes()));
}

}  // namespace

at::Tensor join_images(const std::vector<at::Tensor>& parts) {
  if (parts.empty()) throw bad_shape("parts", "at least one", "none");
  for (size_t k = 0; k < parts.size(); ++k) {
    check_images(parts[k]);
    if (parts[k].sizes().slice(1) == parts[0].sizes().slice(1)) continue;
    throw bad_shape(words("parts[", k, "]"), words("images of the size of parts[0], ", parts[0].sizes()),
                    parts[k].sizes());
  }
  return at::cat(parts);
}

at::Tensor gather_images(const at::Tensor& images, const std::vector<int64_t>& indices,
                         const std::vector<int64_t>& shifts, double scale, double offset) {
  check_images(images);
  const int64_t count = images.size(0), rows = static_cast<int64_t>(indices.size());
  for (const int64_t index : indices) {
    if (index < 0 || index >= count) throw bad_shape("indices", words("numbers from 0 to ", count - 1), index);
  }
  if (!shifts.empty() && shifts.size() != 2 * indices.size()) {
    throw bad_shape("shifts", words("two entries (down, right) for each of the ", rows, " indices"), shifts.size());
  }
  const at::Tensor index = at::tensor(at::ArrayRef<int64_t>(indices), at::kLong).to(images.device());
  at::Tensor chosen = images.index_select(0, index).mul_(scale).add_(offset);
  if (shifts.empty()) return chosen;

  const int64_t height = images.size(2), width = images.size(3);
  at::Tensor moved = at::full_like(chosen, offset);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t down = std::clamp<int64_t>(shifts[2 * r], -height, height);
    const int64_t right = std::clamp<int64_t>(shifts[2 * r + 1], -width, width);
    const int64_t y = std::max<int64_t>(down, 0), x = std::max<int64_t>(right, 0);
    const int64_t visible_height = height - std::abs(down), visible_width = width - std::abs(right);
    moved[r]
        .narrow(1, y, visible_height)
        .narrow(2, x, visible_width)
        .copy_(chosen[r].narrow(1, y - down, visible_height).narrow(2, x - right, visible_width));
  }
  return moved;
}

MeanIntensity mean_intensity(const at::Tensor& images, bool want_grad) {
  check_images(images);
  const at::Tensor means = images.to(at::kFloat).flatten(1).mean(1).to(at::kCPU).contiguous();
  MeanIntensity result{{means.const_data_ptr<float>(), means.const_data_ptr<float>() + means.numel()}, {}};
  // A mean's gradient is one number for all its elements.
  if (want_grad) {
    result.grad = at::full_like(images, static_cast<double>(images.size(0)) / static_cast<double>(images.numel()));
  }
  return result;
}

double mean_pairwise_distance(const at::Tensor& features) {
  check_features(features);
  return at::pdist(features.to(at::kDouble)).mean().item<double>();
}

double mean_pairwise_cosine_distance(const at::Tensor& features) {
  check_features(features);
  const at::Tensor rows = features.to(at::kDouble);
  const at::Tensor directions = rows / rows.norm(2, 1, true).clamp_min(std::numeric_limits<double>::min());
  // ‖Σ d_i‖² holds every pair twice, and each row with itself.
  const double pairs = (directions.sum(0).square().sum() - directions.square().sum()).item<double>();
  const auto count = static_cast<double>(rows.size(0));
  return 1 - pairs / (count * (count - 1));
}

ImageGrid image_grid(const at::Tensor& images, int64_t columns, int64_t padding) {
  check_images(images);
  if (columns < 1) throw bad_shape("columns", "at least 1", columns);
  if (padding < 0) throw bad_shape("padding", "at least 0", padding);
  if (images.size(0) < 1) throw bad_shape("images", "at least one", "none");
  const int64_t count = images.size(0), channels = images.size(1), height = images.size(2), width = images.size(3);
  const int64_t rows = (count + columns - 1) / columns;
  at::Tensor grid =
      at::full({rows * (height + padding) + padding, columns * (width + padding) + padding, channels}, 255, at::kByte);
  const at::Tensor bytes =
      at::nan_to_num(images.to(at::kCPU, at::kFloat), 0, 0, 0).clamp(0, 1).mul(255).round().to(at::kByte);
  for (int64_t i = 0; i < count; ++i) {
    grid.narrow(0, padding + i / columns * (height + padding), height)
        .narrow(1, padding + i % columns * (width + padding), width)
        .copy_(bytes[i].permute({1, 2, 0}));
  }
  return {grid.size(1),
          grid.size(0),
          channels,
          {grid.const_data_ptr<uint8_t>(), grid.const_data_ptr<uint8_t>() + grid.numel()}};
}

at::Tensor weighted_sum(const std::vector<at::Tensor>& tensors, const std::vector<double>& weights) {
  if (tensors.empty() || tensors.size() != weights.size()) {
    throw bad_shape("tensors and weights", "as many of both and at least one",
                    words(tensors.size(), " and ", weights.size()));
  }
  std::vector<Term> terms;
  for (size_t k = 0; k < tensors.size(); ++k) {
    if (tensors[k].sizes() != tensors[0].sizes()) {
      throw bad_shape(words("tensors[", k, "]"), words("the shape of tensors[0], ", tensors[0].sizes()),
                      tensors[k].sizes());
    }
    if (terms.size() == static_cast<size_t>(kernels::kMaxTerms)) terms = {{affine(terms), {1.0}}};
    terms.push_back({tensors[k], {weights[k]}});
  }
  return affine(terms);
}

}  // namespace eam::ops
