#include "nn/rewards/image_preprocess.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "nn/layers/checks.h"

namespace eam::nn {

namespace {

using Fit = ImagePreprocessConfig::Fit;
using Middle = ImagePreprocessConfig::Middle;

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// Row i is the share of each of `from` pixels in pixel first + i of `to`; outside of 0 to `to` it is zero. A product
// with it resizes, crops and pads one side at once. The gradient is a product again, so it is the same on every run.
// LibTorch's own resize adds gradients up in any order on a GPU, and computes all of an image before the crop.
at::Tensor resize_matrix(int64_t from, int64_t to, int64_t first, int64_t rows) {
  at::Tensor matrix = at::zeros({rows, from}, at::kDouble);
  auto weights = matrix.accessor<double, 2>();
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(scale, 1.0), support = 2 * stretch;
  for (int64_t row = std::max<int64_t>(0, -first); row < rows && first + row < to; ++row) {
    const double center = (static_cast<double>(first + row) + 0.5) * scale;
    // Cut off after ½ is added, as Pillow does it.
    // NOLINTBEGIN(bugprone-incorrect-roundings)
    const int64_t begin = std::max<int64_t>(0, static_cast<int64_t>(center - support + 0.5));
    const int64_t end = std::min(from, static_cast<int64_t>(center + support + 0.5));
    // NOLINTEND(bugprone-incorrect-roundings)
    double total = 0;
    for (int64_t i = begin; i < end; ++i) {
      weights[row][i] = bicubic((static_cast<double>(i) - center + 0.5) / stretch);
      total += weights[row][i];
    }
    for (int64_t i = begin; i < end; ++i) weights[row][i] /= total;
  }
  return matrix;
}

// One side of an image: its length once resized, and which pixel of that is the output's first.
struct Side {
  int64_t length, first;
};

Side side_of(const ImagePreprocessConfig& config, int64_t length, int64_t shorter, int64_t longer) {
  const int64_t size = config.size;
  if (config.fit == Fit::pad) {
    // HPSv2's resize rounds to the even neighbour; of a very long image it would leave nothing.
    const double scale = static_cast<double>(size) / static_cast<double>(longer);
    const auto resized = std::max<int64_t>(1, std::llrint(static_cast<double>(length) * scale));
    return {resized, -((size - resized) / 2)};
  }
  const int64_t resized = length == shorter ? size : size * longer / shorter;
  const int64_t cut = resized - size;
  return {resized, config.middle == Middle::down ? cut / 2 : std::llrint(static_cast<double>(cut) / 2)};
}

// Half rounds up, as in PIL's sums. In double precision those of its weights, which have 22 bits, are exact.
at::Tensor to_bytes(const at::Tensor& x) {
  return (x + 0.5).floor().clamp(0, 255);
}

at::Tensor with_bits_of_pil(const at::Tensor& weights) {
  return (weights * (1 << 22)).round() / (1 << 22);
}

}  // namespace

ImagePreprocess::ImagePreprocess(ImagePreprocessConfig config, int64_t channels)
    : config_(std::move(config)), channels_(channels) {
  const auto per_channel = [&](const char* name, const std::vector<double>& values) {
    if (static_cast<int64_t>(values.size()) == channels) return;
    throw bad_value(words("preprocess.", name), words(channels, " numbers"), values.size());
  };
  per_channel("mean", config_.mean);
  per_channel("std", config_.std);
}

void ImagePreprocess::check(const at::Tensor& images) const {
  const std::string shape = words("shape [B, ", channels_, ", H, W], at least one image,");
  if (images.dim() != 4 || images.numel() == 0) throw bad_shape("images", shape, images.sizes());
  const int64_t found = images.size(1);
  if (found != channels_) {
    const char* advice = found == 1   ? "; one channel is grey: repeat it"
                         : found == 4 ? "; the fourth channel is transparency: lay the images on a background first"
                                      : "; a latent is decoded to an image first";
    throw bad_shape("images", shape, words(images.sizes(), advice));
  }
  check_floating_point("images", images);
}

at::Tensor ImagePreprocess::forward(const at::Tensor& images) const {
  check(images);
  const int64_t height = images.size(2), width = images.size(3);
  const int64_t shorter = std::min(height, width), longer = std::max(height, width);
  const Side rows = side_of(config_, height, shorter, longer), columns = side_of(config_, width, shorter, longer);
  at::Tensor x = config_.bytes ? to_bytes(images.to(at::kDouble) * 255) : images;
  const auto matrix = [&](const Side& side, int64_t from) {
    const at::Tensor weights = resize_matrix(from, side.length, side.first, config_.size);
    return (config_.bytes ? with_bits_of_pil(weights) : weights).to(x.options());
  };
  // Along the width first, as PIL, to whose rounding the order matters.
  x = at::matmul(x, matrix(columns, width).t());
  if (config_.bytes) x = to_bytes(x);
  x = at::matmul(matrix(rows, height), x);
  if (config_.bytes) x = (to_bytes(x) / 255).to(images.scalar_type());
  const auto channel = [&](const std::vector<double>& values) {
    return at::tensor(values, at::kDouble).to(images.options()).view({1, channels_, 1, 1});
  };
  return (x - channel(config_.mean)) / channel(config_.std);
}

}  // namespace eam::nn
