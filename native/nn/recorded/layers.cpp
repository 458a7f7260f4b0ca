#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "nn/layers/linear_map.h"
#include "nn/recorded/operator.h"
#include "ops/error.h"

namespace eam::nn {

namespace {

at::Tensor recorded_embedding(const Arguments& a) {
  const at::Tensor &table = a.tensor(0), &ids = a.tensor(1);
  if (table.dim() != 2) throw bad_shape(a.where(0), "shape [rows, width]", table.sizes());
  if (!at::isIntegralType(ids.scalar_type(), /*includeBool=*/false)) {
    throw bad_shape(a.where(1), "whole numbers, int32 or int64", ids.scalar_type());
  }
  if (ids.is_meta()) {
    std::vector<int64_t> shape = ids.sizes().vec();
    shape.push_back(table.size(1));
    return at::empty(shape, table.options());
  }
  // An index outside the table would abort a CUDA context, which no later call survives.
  if (ids.numel() > 0) {
    const int64_t lowest = ids.min().item<int64_t>(), highest = ids.max().item<int64_t>();
    if (lowest < 0 || highest >= table.size(0)) {
      throw bad_shape(a.where(1), words("rows of the table, 0 to ", table.size(0) - 1), lowest < 0 ? lowest : highest);
    }
  }
  return at::embedding(table, ids);
}

at::Tensor recorded_interpolation(const Arguments& a) {
  const at::Tensor& x = a.tensor(0);
  if (x.dim() != 4) throw bad_shape(a.where(0), "shape [B, channels, H, W]", x.sizes());
  const std::vector<int64_t>& size = a.integers(1);
  if (size.size() != 2 || size[0] < 1 || size[1] < 1) {
    throw bad_shape(a.where(1), "[height, width], each at least 1", at::IntArrayRef(size));
  }
  if (a.text(2) == "nearest") return at::upsample_nearest2d(x, size);
  return at::upsample_bilinear2d(x, size, /*align_corners=*/false);
}

at::Tensor recorded_attention(const Arguments& a) {
  if (a.tensor(0).is_meta()) {
    at::Tensor logits = at::matmul(a.tensor(0), a.tensor(1).transpose(-2, -1));
    if (a.has(3)) logits = logits + a.tensor(3);
    return at::matmul(logits, a.tensor(2));
  }
  return at::scaled_dot_product_attention(a.tensor(0), a.tensor(1), a.tensor(2), a.optional_tensor(3),
                                          /*dropout_p=*/0, a.flag(4),
                                          a.has(5) ? std::optional(a.number(5)) : std::nullopt);
}

// What scales and shifts normalised numbers has one entry for each of `size`.
void check_scaling(const Arguments& a, size_t first, size_t count, int64_t size) {
  for (size_t i = first; i < first + count; ++i) {
    if (!a.has(i) || (a.tensor(i).dim() == 1 && a.tensor(i).size(0) == size)) continue;
    throw bad_shape(a.where(i), words("shape [", size, "]"), a.tensor(i).sizes());
  }
}

at::Tensor recorded_layer_norm(const Arguments& a) {
  const at::Tensor& x = a.tensor(0);
  if (x.dim() == 0) throw bad_shape(a.where(0), "at least one dimension", "none");
  check_scaling(a, 1, 2, x.size(-1));
  if (x.is_meta()) return at::empty_like(x, at::MemoryFormat::Contiguous);
  return at::layer_norm(x, {x.size(-1)}, a.optional_tensor(1), a.optional_tensor(2), a.number(3));
}

at::Tensor recorded_group_norm(const Arguments& a) {
  const at::Tensor& x = a.tensor(0);
  const int64_t groups = a.integer(1);
  if (x.dim() < 2) throw bad_shape(a.where(0), "shape [B, channels, …]", x.sizes());
  if (groups < 1 || x.size(1) % groups != 0) {
    throw bad_shape(a.where(1), words("a divisor of the ", x.size(1), " channels"), groups);
  }
  check_scaling(a, 2, 2, x.size(1));
  if (x.is_meta()) return at::empty_like(x, at::MemoryFormat::Contiguous);
  return at::group_norm(x, groups, a.optional_tensor(2), a.optional_tensor(3), a.number(4));
}

// The shapes of a convolution, and how the kernel moves.
struct Convolution {
  int64_t out = 0;  // channels
  std::vector<int64_t> stride, padding, spread;
};

Convolution checked_convolution(const Arguments& a, bool transposed) {
  const at::Tensor &x = a.tensor(0), &weight = a.tensor(1);
  const int64_t groups = a.integer(6);
  if (x.dim() != 4) throw bad_shape(a.where(0), "shape [B, channels, H, W]", x.sizes());
  if (weight.dim() != 4) {
    throw bad_shape(a.where(1), transposed ? "shape [in, out/groups, h, w]" : "shape [out, in/groups, h, w]",
                    weight.sizes());
  }
  const auto check_pair = [&](size_t i, int64_t least) {
    const std::vector<int64_t>& two = a.integers(i);
    if (two.size() == 2 && two[0] >= least && two[1] >= least) return;
    throw bad_shape(a.where(i), words("two numbers of at least ", least), at::IntArrayRef(two));
  };
  check_pair(3, 1);
  check_pair(4, 0);
  check_pair(5, transposed ? 0 : 1);
  if (groups < 1 || x.size(1) % groups != 0 || (!transposed && weight.size(0) % groups != 0)) {
    throw bad_shape(a.where(6), "a divisor of the numbers of channels", groups);
  }
  const int64_t in = transposed ? weight.size(0) : weight.size(1) * groups;
  const int64_t out = transposed ? weight.size(1) * groups : weight.size(0);
  if (in != x.size(1)) {
    throw bad_shape(a.where(1), words("a kernel for x's ", x.size(1), " channels"), words("shape ", weight.sizes()));
  }
  if (a.has(2) && (a.tensor(2).dim() != 1 || a.tensor(2).size(0) != out)) {
    throw bad_shape(a.where(2), words("shape [", out, "]"), a.tensor(2).sizes());
  }
  return {out, a.integers(3), a.integers(4), a.integers(5)};
}

at::Tensor image_on_meta(const Arguments& a, int64_t channels, int64_t height, int64_t width) {
  const at::Tensor& x = a.tensor(0);
  if (height < 1 || width < 1) {
    throw bad_shape(a.where(0), "pixels for at least one place of the kernel", words("shape ", x.sizes()));
  }
  return at::empty({x.size(0), channels, height, width}, x.options());
}

at::Tensor recorded_convolution(const Arguments& a) {
  const at::Tensor &x = a.tensor(0), &weight = a.tensor(1);
  const Convolution c = checked_convolution(a, false);
  if (x.is_meta()) {
    const auto size = [&](int64_t dim) {
      const int64_t kernel = c.spread[dim] * (weight.size(dim + 2) - 1) + 1;
      const int64_t room = x.size(dim + 2) + 2 * c.padding[dim] - kernel;
      return room < 0 ? 0 : room / c.stride[dim] + 1;
    };
    return image_on_meta(a, c.out, size(0), size(1));
  }
  return at::conv2d(x, weight, a.optional_tensor(2), c.stride, c.padding, c.spread, a.integer(6));
}

at::Tensor recorded_transposed_convolution(const Arguments& a) {
  const at::Tensor &x = a.tensor(0), &weight = a.tensor(1);
  const Convolution c = checked_convolution(a, true);
  if (x.is_meta()) {
    const auto size = [&](int64_t dim) {
      return (x.size(dim + 2) - 1) * c.stride[dim] - 2 * c.padding[dim] + weight.size(dim + 2) + c.spread[dim];
    };
    return image_on_meta(a, c.out, size(0), size(1));
  }
  return at::conv_transpose2d(x, weight, a.optional_tensor(2), c.stride, c.padding, c.spread, a.integer(6));
}

}  // namespace

std::vector<Operator> layer_operators() {
  using A = const Arguments&;
  return {
      {"matmul",
       {{"a", Takes::tensor}, {"b", Takes::tensor}},
       [](A a) { return at::matmul(a.tensor(0), a.tensor(1)); }},
      {"linear",
       {{"x", Takes::tensor}, {"weight", Takes::tensor}, {"bias", Takes::optional_tensor}},
       [](A a) { return linear_map(a.tensor(0), a.tensor(1), a.has(2) ? a.tensor(2) : at::Tensor()); }},
      {"conv2d",
       {{"x", Takes::tensor},
        {"weight", Takes::tensor},
        {"bias", Takes::optional_tensor},
        {"stride", Takes::integers},
        {"padding", Takes::integers},
        {"dilation", Takes::integers},
        {"groups", Takes::integer}},
       recorded_convolution},
      {"convTranspose2d",
       {{"x", Takes::tensor},
        {"weight", Takes::tensor},
        {"bias", Takes::optional_tensor},
        {"stride", Takes::integers},
        {"padding", Takes::integers},
        {"outputPadding", Takes::integers},
        {"groups", Takes::integer}},
       recorded_transposed_convolution},
      {"averagePool2d",
       {{"x", Takes::tensor}, {"size", Takes::integers}, {"stride", Takes::integers}},
       [](A a) { return at::avg_pool2d(a.tensor(0), a.integers(1), a.integers(2)); }},
      {"interpolate",
       {{"x", Takes::tensor}, {"size", Takes::integers}, {"mode", Takes::text, {"nearest", "bilinear"}}},
       recorded_interpolation},
      {"embedding", {{"table", Takes::tensor}, {"ids", Takes::tensor}}, recorded_embedding},
      {"layerNorm",
       {{"x", Takes::tensor},
        {"weight", Takes::optional_tensor},
        {"bias", Takes::optional_tensor},
        {"epsilon", Takes::number}},
       recorded_layer_norm},
      {"groupNorm",
       {{"x", Takes::tensor},
        {"groups", Takes::integer},
        {"weight", Takes::optional_tensor},
        {"bias", Takes::optional_tensor},
        {"epsilon", Takes::number}},
       recorded_group_norm},
      {"rmsNorm",
       {{"x", Takes::tensor}, {"weight", Takes::optional_tensor}, {"epsilon", Takes::number}},
       [](A a) { return at::rms_norm(a.tensor(0), {a.tensor(0).size(-1)}, a.optional_tensor(1), a.number(2)); }},
      {"attention",
       {{"q", Takes::tensor},
        {"k", Takes::tensor},
        {"v", Takes::tensor},
        {"mask", Takes::optional_tensor},
        {"causal", Takes::flag},
        {"scale", Takes::optional_number}},
       recorded_attention},
  };
}

}  // namespace eam::nn
