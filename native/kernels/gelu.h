#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/macros.h"

// The Gaussian error linear unit by its tanh approximation (arXiv 1606.08415), written with one exponential:
//   gelu(x) = x/2 (1 + tanh u) = x σ(2u),  2u = x (a + b x²),  a = 2 √(2/π),  b = 0.044715 a
namespace eam::kernels {

struct GeluConstants {
  static constexpr float a = 1.5957691216057308f;
  static constexpr float b = 0.0713548162726002527f;
};

// 2^k, from k rounded into the last bits of `shifted`; std::bit_cast and its builtin came with g++ 11.
EAM_HD float power_of_two(float shifted) {
  int32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

// e^y to float rounding for y in [−60, 60]: 2^k e^r with |r| ≤ ln 2 / 2 and Cephes' polynomial.
EAM_HD float exp_within(float y) {
  constexpr float kRounder = 12582912.0f;  // 1.5 · 2²³: a sum with it has its integer in the last bits
  const float shifted = y * 1.44269504088896341f + kRounder;
  const float k = shifted - kRounder;
  const float r = (y - k * 0.693359375f) + k * 2.12194440e-4f;  // ln 2 = 0.693359375 − 2.12194440e−4
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float e = p * (r * r) + r + 1.0f;
  return e * power_of_two(shifted);
}

// Where |x| is 8 or more, σ(2u) is 0 or 1 to float rounding (3·10⁻²² from them), and further out its exponential would
// make subnormal numbers, which processors take a hundred times as long for. NaN stays NaN.
EAM_HD float gelu_clamped(float x) {
  x = x < -8.0f ? -8.0f : x;
  return x > 8.0f ? 8.0f : x;
}

// σ(2u) of x within [−8, 8]
EAM_HD float gelu_gate(float x) {
  return 1.0f / (1.0f + exp_within(-x * (GeluConstants::a + GeluConstants::b * (x * x))));
}

EAM_HD float gelu_element(float x) {
  const float clamped = gelu_clamped(x);
  return (x < clamped ? clamped : x) * gelu_gate(clamped);
}

// σ(2u) + x σ(2u) (1 − σ(2u)) (a + 3b x²)
EAM_HD float gelu_derivative(float x) {
  x = gelu_clamped(x);
  const float gate = gelu_gate(x);
  return gate + x * gate * (1.0f - gate) * (GeluConstants::a + 3.0f * GeluConstants::b * (x * x));
}

// Serial, over `count` elements.
void gelu(const float* x, float* y, int64_t count);
// grad = upstream · gelu'(x)
void gelu_backward(const float* x, const float* upstream, float* grad, int64_t count);

}  // namespace eam::kernels
