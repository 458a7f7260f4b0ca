#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/affine.h"
#include "kernels/optimizer.h"
#include "kernels/philox.h"

// The kernels once more, one element after the other in double arithmetic, as one would write them first: the oracle
// of their tests (native/test/check_kernels.cpp), and the place to read what they compute.
namespace eam::kernels::reference {

// The i-th number of a tensor stored as `dtype`.
inline double stored(const void* data, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::float32:
      return static_cast<const float*>(data)[i];
    case DType::float64:
      return static_cast<const double*>(data)[i];
    case DType::bfloat16:
      return widen(static_cast<const BFloat16*>(data)[i]);
    case DType::float16:
      return widen(static_cast<const Float16*>(data)[i]);
  }
  return NAN;
}

// ε of element i of a stream: Box and Muller's √(−2 ln u) cos 2πw and √(−2 ln u) sin 2πw of two uniforms, with the
// words of block i/4 in pairs; u = (word + ½) 2⁻³².
inline double normal(uint64_t seed, uint64_t stream, int64_t i) {
  const PhiloxBlock block = philox_block(seed, stream, static_cast<uint64_t>(i / 4));
  const int pair = static_cast<int>(i % 4 / 2) * 2;
  // Where u is nearly 1, 1 − u keeps the digits: ln u = ln(1 − (1 − u)).
  const double u = (block.word[pair] + 0.5) * 0x1p-32, rest = (~block.word[pair] + 0.5) * 0x1p-32;
  const double radius = std::sqrt(-2 * (u > 0.5 ? std::log1p(-rest) : std::log(u)));
  const double angle = 2 * M_PI * ((block.word[pair + 1] + 0.5) * 0x1p-32);
  return radius * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

// Σ_k c_k[b] x_k[b, i] + c_ε[b] ε[b, i]
inline double affine(const Combination& y, int64_t b, int64_t i) {
  double sum = 0;
  for (int k = 0; k < y.terms; ++k)
    sum += y.coefficients[k * y.samples + b] * stored(y.data[k], y.dtype[k], b * y.elements + i);
  if (y.noise_coefficients == nullptr) return sum;
  return sum + y.noise_coefficients[b] * (y.stream_per_sample ? normal(y.seed, y.streams[b], i)
                                                              : normal(y.seed, y.streams[0], b * y.elements + i));
}

// velocity − target, of which the loss is the mean square and the gradient a multiple.
inline double difference(const Regression& loss, int64_t b, int64_t i) {
  return stored(loss.velocity, loss.velocity_dtype, b * loss.target.elements + i) - affine(loss.target, b, i);
}

// x/2 (1 + tanh u), u = √(2/π) (x + 0.044715 x³)
inline double gelu(double x) {
  return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

// Its derivative: ½ (1 + tanh u) + x/2 (1 − tanh² u) √(2/π) (1 + 3 · 0.044715 x²)
inline double gelu_derivative(double x) {
  const double t = std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
  return (1 + t) / 2 + x / 2 * (1 - t * t) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}

struct AdamWElement {
  double parameter, first_moment, second_moment;
};

// One update of one number, with the scalars that the kernel gets.
inline AdamWElement adamw(const AdamWScalars& s, double p, double grad, double m, double v) {
  const double g = s.grad_scale * grad;
  m = s.beta1 * m + s.one_minus_beta1 * g;
  v = s.beta2 * v + s.one_minus_beta2 * g * g;
  p = s.keep * p - s.step_size * m / (std::sqrt(v) * s.second_correction + s.epsilon);
  return {p, m, v};
}

}  // namespace eam::kernels::reference
