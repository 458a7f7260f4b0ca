#include "kernels/tile.h"

#include <type_traits>

#include "kernels/philox.h"
#include "kernels/philox_words.h"

#ifdef EAM_X86_VECTORS
#include <immintrin.h>
#endif

namespace eam::kernels::tile {

namespace {

constexpr int64_t kBlocks = kElements / 4 + 1 + kPhiloxPadding;  // a tile may begin inside a block

template <class Real, class Storage>
EAM_HD void add_scaled_loop(Real* __restrict y, const Storage* __restrict x, Real c, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += c * static_cast<Real>(widen(x[i]));
}

template <class Real, class Storage>
EAM_HD void subtract_from_loop(Real* __restrict y, const Storage* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<Real>(widen(x[i])) - y[i];
}

template <class Real, class Storage>
EAM_HD void store_scaled_loop(const Real* __restrict y, Real c, Storage* __restrict out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) narrow(c * y[i], out + i);
}

template <class Real>
EAM_HD double sum_squares_loop(const Real* y, int64_t n) {
  Real lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += y[i + lane] * y[i + lane];
  for (int lane = 0; i < n; ++i, ++lane) lanes[lane] += y[i] * y[i];
  double sum = 0;
  for (Real lane : lanes) sum += lane;
  return sum;
}

template <class Real>
EAM_HD void box_muller_loop(const uint32_t (*words)[kBlocks], int64_t blocks, Real* __restrict out) {
  for (int64_t j = 0; j < blocks; ++j) {
    box_muller(words[0][j], words[1][j], out + 4 * j, out + 4 * j + 1);
    box_muller(words[2][j], words[3][j], out + 4 * j + 2, out + 4 * j + 3);
  }
}

// Multiversioned functions cannot be templates: one overload for each pair of types.
#define EAM_LOOPS(Real, Storage)                                                           \
  EAM_MULTIVERSION void run_add_scaled(Real* y, const Storage* x, Real c, int64_t n) {     \
    add_scaled_loop(y, x, c, n);                                                           \
  }                                                                                        \
  EAM_MULTIVERSION void run_subtract_from(Real* y, const Storage* x, int64_t n) {          \
    subtract_from_loop(y, x, n);                                                           \
  }                                                                                        \
  EAM_MULTIVERSION void run_store_scaled(const Real* y, Real c, Storage* out, int64_t n) { \
    store_scaled_loop(y, c, out, n);                                                       \
  }

EAM_LOOPS(float, float)
EAM_LOOPS(float, double)
EAM_LOOPS(float, BFloat16)
EAM_LOOPS(float, Float16)
EAM_LOOPS(double, float)
EAM_LOOPS(double, double)
EAM_LOOPS(double, BFloat16)
EAM_LOOPS(double, Float16)
#undef EAM_LOOPS

EAM_MULTIVERSION void run_box_muller(const uint32_t (*words)[kBlocks], int64_t blocks, float* out) {
  box_muller_loop(words, blocks, out);
}
EAM_MULTIVERSION void run_box_muller(const uint32_t (*words)[kBlocks], int64_t blocks, double* out) {
  box_muller_loop(words, blocks, out);
}

template <class Real>
void fill(uint64_t seed, uint64_t stream, uint64_t first_block, int64_t blocks, Real* out) {
  static const PhiloxWords philox_words = fastest_philox_words();
  alignas(64) uint32_t words[4][kBlocks];
  uint32_t* const rows[4] = {words[0], words[1], words[2], words[3]};
  philox_words(seed, stream, first_block, blocks, rows);
  run_box_muller(words, blocks, out);
}

template <int kTerms, class Real>
EAM_HD Real combined(const Fused<Real>& f, int64_t i) {
  Real sum = 0;
  for (int k = 0; k < kTerms; ++k) sum += f.c[k] * f.x[k][i];
  return sum + f.c_y * f.y[i];
}

template <int kTerms, class Real>
EAM_HD void store_loop(const Fused<Real>& fused, Real* out, int64_t n) {
  const Fused<Real> f = fused;  // a copy that the stores below cannot alias
  EAM_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) out[i] = combined<kTerms>(f, i);
}

// In vectors of 32 bytes: left to itself, GCC shuffles the partial sums through memory, and wider ones it takes apart for
// AVX2 at three times the cost.
template <int kTerms, class Real>
EAM_HD void difference_loop(const Fused<Real>& fused, const Real* v, Real scale, Real* grad, Real* sums, int64_t n) {
  constexpr int kWidth = 32 / sizeof(Real), kVectors = kLanes / kWidth;
  typedef Real Vector __attribute__((vector_size(32), aligned(alignof(Real)), may_alias));
  const Fused<Real> f = fused;
  Vector sum[kVectors];
  for (int part = 0; part < kVectors; ++part) sum[part] = *reinterpret_cast<const Vector*>(sums + part * kWidth);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    EAM_UNROLL
    for (int part = 0; part < kVectors; ++part) {
      const int64_t j = i + part * kWidth;
      Vector target = {};
      for (int k = 0; k < kTerms; ++k) target += f.c[k] * *reinterpret_cast<const Vector*>(f.x[k] + j);
      target += f.c_y * *reinterpret_cast<const Vector*>(f.y + j);
      const Vector d = *reinterpret_cast<const Vector*>(v + j) - target;
      *reinterpret_cast<Vector*>(grad + j) = scale * d;
      sum[part] += d * d;
    }
  }
  for (int part = 0; part < kVectors; ++part) *reinterpret_cast<Vector*>(sums + part * kWidth) = sum[part];
  for (int lane = 0; i < n; ++i, ++lane) {
    const Real d = v[i] - combined<kTerms>(f, i);
    grad[i] = scale * d;
    sums[lane] += d * d;
  }
}

// Calls `body` with the number of terms as a constant.
template <class Body>
EAM_HD void with_terms(int terms, const Body& body) {
  static_assert(kFused == 3);
  if (terms == 1) return body(std::integral_constant<int, 1>());
  if (terms == 2) return body(std::integral_constant<int, 2>());
  body(std::integral_constant<int, 3>());
}

#define EAM_FUSED(Real)                                                                                          \
  EAM_MULTIVERSION void run_store(const Fused<Real>& f, Real* out, int64_t n) {                                  \
    with_terms(f.terms, [&](auto terms) __attribute__((always_inline)) { store_loop<terms()>(f, out, n); });     \
  }                                                                                                              \
  EAM_MULTIVERSION void run_difference(const Fused<Real>& f, const Real* v, Real scale, Real* grad, Real* sums,  \
                                       int64_t n) {                                                              \
    with_terms(f.terms, [&](auto terms) __attribute__((always_inline)) {                                         \
      difference_loop<terms()>(f, v, scale, grad, sums, n);                                                      \
    });                                                                                                          \
  }

EAM_FUSED(float)
EAM_FUSED(double)
#undef EAM_FUSED

#ifdef EAM_X86_VECTORS
__attribute__((target("avx,f16c"))) int64_t widen_f16c(const Float16* x, float* out, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i))));
  return i;
}
__attribute__((target("avx,f16c"))) int64_t narrow_f16c(const float* x, Float16* out, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  return i;
}
bool has_f16c() {
  static const bool has = __builtin_cpu_supports("avx2");  // every such processor has F16C, which GCC cannot ask for
  return has;
}
#endif

template <class Storage>
const Storage* at(const void* data, int64_t offset, Storage*) {
  return static_cast<const Storage*>(data) + offset;
}

}  // namespace

void fill_normals(uint64_t seed, uint64_t stream, uint64_t first_block, int64_t blocks, float* out) {
  fill(seed, stream, first_block, blocks, out);
}

void fill_normals(uint64_t seed, uint64_t stream, uint64_t first_block, int64_t blocks, double* out) {
  fill(seed, stream, first_block, blocks, out);
}

void store(const Fused<float>& fused, float* out, int64_t n) {
  run_store(fused, out, n);
}
void store(const Fused<double>& fused, double* out, int64_t n) {
  run_store(fused, out, n);
}

void store_difference(const Fused<float>& fused, const float* v, float scale, float* grad, float* sums, int64_t n) {
  run_difference(fused, v, scale, grad, sums, n);
}
void store_difference(const Fused<double>& fused, const double* v, double scale, double* grad, double* sums, int64_t n) {
  run_difference(fused, v, scale, grad, sums, n);
}

EAM_MULTIVERSION void widen_all(const BFloat16* __restrict x, float* __restrict out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = widen(x[i]);
}

EAM_MULTIVERSION void narrow_all(const float* __restrict x, BFloat16* __restrict out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) narrow(x[i], out + i);
}

void widen_all(const Float16* x, float* out, int64_t n) {
  int64_t i = 0;
#ifdef EAM_X86_VECTORS
  if (has_f16c()) i = widen_f16c(x, out, n);
#endif
  for (; i < n; ++i) out[i] = widen(x[i]);
}

void narrow_all(const float* x, Float16* out, int64_t n) {
  int64_t i = 0;
#ifdef EAM_X86_VECTORS
  if (has_f16c()) i = narrow_f16c(x, out, n);
#endif
  for (; i < n; ++i) narrow(x[i], out + i);
}

void add_scaled(float* y, const void* x, DType dtype, int64_t offset, float c, int64_t n) {
  with_storage(dtype, [&](auto* type) { run_add_scaled(y, at(x, offset, type), c, n); });
}

void add_scaled(double* y, const void* x, DType dtype, int64_t offset, double c, int64_t n) {
  with_storage(dtype, [&](auto* type) { run_add_scaled(y, at(x, offset, type), c, n); });
}

void subtract_from(float* y, const void* x, DType dtype, int64_t offset, int64_t n) {
  with_storage(dtype, [&](auto* type) { run_subtract_from(y, at(x, offset, type), n); });
}

void subtract_from(double* y, const void* x, DType dtype, int64_t offset, int64_t n) {
  with_storage(dtype, [&](auto* type) { run_subtract_from(y, at(x, offset, type), n); });
}

EAM_MULTIVERSION double sum_squares(const float* y, int64_t n) {
  return sum_squares_loop(y, n);
}
EAM_MULTIVERSION double sum_squares(const double* y, int64_t n) {
  return sum_squares_loop(y, n);
}

void store_scaled(const float* y, float c, void* out, DType dtype, int64_t offset, int64_t n) {
  with_storage(dtype,
               [&](auto* type) { run_store_scaled(y, c, const_cast<decltype(type)>(at(out, offset, type)), n); });
}

void store_scaled(const double* y, double c, void* out, DType dtype, int64_t offset, int64_t n) {
  with_storage(dtype,
               [&](auto* type) { run_store_scaled(y, c, const_cast<decltype(type)>(at(out, offset, type)), n); });
}

}  // namespace eam::kernels::tile
