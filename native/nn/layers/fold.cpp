#include "nn/layers/fold.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>

#include <cmath>
#include <limits>

#include "ops/ops.h"
#include "ops/random.h"

namespace eam::nn {

namespace {

// Uniform numbers from 0 to just below 1, always the same of a shape.
at::Tensor uniform(const at::Tensor& like) {
  const ops::PhiloxNoise noise{0, {stream_of(0, 0, Purpose::fold)}};
  const at::Tensor normal = ops::philox_normal(like.sizes(), noise, at::kFloat, like.device());
  // A sum of the largest mantissa and a number closer to 1 would be rounded to the next.
  constexpr double most = 1 - 0x1p-10;
  return normal.mul_(std::sqrt(0.5)).erf_().add_(1).mul_(0.5).clamp_max_(most);
}

// x in steps of a type with so many bits, whose smallest normal number is 2^(least − 1): down, or up with a chance of
// how far it is on the way.
at::Tensor rounded_by_chance(const at::Tensor& x, int bits, int least) {
  constexpr int exponent = 0x7f800000;  // of a float32: alone it is the power of two below the number
  const at::Tensor binade =
      x.view(at::kInt).bitwise_and(exponent).view(at::kFloat).clamp_min_(std::ldexp(1.0, least - 1));
  const at::Tensor step = binade.mul_(std::ldexp(1.0, 1 - bits));
  return (x / step).add_(uniform(x)).floor_().mul_(step);
}

template <class Type>
at::Tensor rounded_to(const at::Tensor& x, at::ScalarType type) {
  using Limits = std::numeric_limits<Type>;
  return rounded_by_chance(x, Limits::digits, Limits::min_exponent).to(type);
}

}  // namespace

at::Tensor folded(const at::Tensor& weight, const at::Tensor& lora_A, const at::Tensor& lora_B, double scale) {
  const at::ScalarType type = weight.scalar_type();
  const at::ScalarType wide = type == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor sum = at::addmm(weight.to(wide), lora_B.to(wide), lora_A.to(wide), 1, scale);
  if (type == at::kBFloat16) return rounded_to<c10::BFloat16>(sum, type);
  if (type == at::kHalf) return rounded_to<c10::Half>(sum, type);
  return sum;
}

}  // namespace eam::nn
