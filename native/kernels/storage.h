#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/macros.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

// What tensors are stored as. Arithmetic is done in float, or in double where a float64 tensor takes part.
namespace eam::kernels {

enum class DType : int32_t { float32, float64, bfloat16, float16 };

struct BFloat16 {
  uint16_t bits;
};

struct Float16 {
  uint16_t bits;
};

EAM_HD uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

EAM_HD float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

EAM_HD uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

EAM_HD double double_of(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

EAM_HD float widen(float value) {
  return value;
}
EAM_HD double widen(double value) {
  return value;
}
EAM_HD float widen(BFloat16 value) {
  return float_of(static_cast<uint32_t>(value.bits) << 16);
}

EAM_HD float widen(Float16 value) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(value.bits));
#else
  // Selects instead of branches, so that loops over halves vectorise without F16C.
  const uint32_t exponent_mask = 0x7c00u << 13;
  uint32_t magnitude = (value.bits & 0x7fffu) << 13;
  uint32_t exponent = magnitude & exponent_mask;
  uint32_t normal = magnitude + ((127u - 15u) << 23);
  uint32_t special = normal + ((128u - 16u) << 23);                                            // infinity, NaN
  uint32_t subnormal = bits_of(float_of(normal + (1u << 23)) - float_of((127u - 14u) << 23));  // zero too
  uint32_t result = exponent == exponent_mask ? special : exponent == 0 ? subnormal : normal;
  return float_of(result | (static_cast<uint32_t>(value.bits & 0x8000u) << 16));
#endif
}

EAM_HD void narrow(float value, float* out) {
  *out = value;
}
EAM_HD void narrow(double value, float* out) {
  *out = static_cast<float>(value);
}
EAM_HD void narrow(float value, double* out) {
  *out = value;
}
EAM_HD void narrow(double value, double* out) {
  *out = value;
}

// Round to nearest, ties to even, as LibTorch and CUDA do.
EAM_HD void narrow(float value, BFloat16* out) {
#if defined(__CUDA_ARCH__)
  out->bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
#else
  uint32_t bits = bits_of(value);
  uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  out->bits = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
#endif
}

EAM_HD void narrow(float value, Float16* out) {
#if defined(__CUDA_ARCH__)
  out->bits = __half_as_ushort(__float2half_rn(value));
#else
  uint32_t bits = bits_of(value);
  uint32_t sign = bits & 0x80000000u;
  uint32_t magnitude = bits ^ sign;
  uint32_t normal = (magnitude + ((15u - 127u) << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Adding ½ aligns the mantissa so that the float unit does the rounding of a subnormal half.
  uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
  uint32_t overflow = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  uint32_t result = magnitude >= (143u << 23) ? overflow : magnitude < (113u << 23) ? subnormal : normal;
  out->bits = static_cast<uint16_t>(result | (sign >> 16));
#endif
}

EAM_HD void narrow(double value, BFloat16* out) {
  narrow(static_cast<float>(value), out);
}
EAM_HD void narrow(double value, Float16* out) {
  narrow(static_cast<float>(value), out);
}

// Calls `body` with a null pointer of the storage type.
template <class Body>
EAM_HD void with_storage(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::float32:
      return body(static_cast<float*>(nullptr));
    case DType::float64:
      return body(static_cast<double*>(nullptr));
    case DType::bfloat16:
      return body(static_cast<BFloat16*>(nullptr));
    case DType::float16:
      return body(static_cast<Float16*>(nullptr));
  }
}

}  // namespace eam::kernels
