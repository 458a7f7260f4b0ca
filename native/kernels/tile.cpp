#include "kernels/tile.h"

#include <type_traits>

#include "kernels/philox.h"
#include "kernels/philox_words.h"

#ifdef EAM_X86_VECTORS
#include <immintrin.h>
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 on its own headers (bug 105593)
#endif
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

}  // namespace

// Multiversioned functions cannot be templates: one overload for each pair of types. Nor are they in the anonymous
// namespace: binutils 2.35 leaves the calls of local ones in a shared library unresolved.
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

EAM_MULTIVERSION double run_sum_squares(const float* y, int64_t n) {
  return sum_squares_loop(y, n);
}
EAM_MULTIVERSION double run_sum_squares(const double* y, int64_t n) {
  return sum_squares_loop(y, n);
}

EAM_MULTIVERSION void run_box_muller(const uint32_t (*words)[kBlocks], int64_t blocks, float* out) {
  box_muller_loop(words, blocks, out);
}
EAM_MULTIVERSION void run_box_muller(const uint32_t (*words)[kBlocks], int64_t blocks, double* out) {
  box_muller_loop(words, blocks, out);
}

namespace {

template <class Real>
void fill(uint64_t seed, uint64_t stream, uint64_t first_block, int64_t blocks, Real* out) {
  static const PhiloxWords philox_words = fastest_philox_words();
  alignas(64) uint32_t words[4][kBlocks];
  uint32_t* const rows[4] = {words[0], words[1], words[2], words[3]};
  philox_words(seed, stream, first_block, blocks, rows);
  run_box_muller(words, blocks, out);
}

template <int kTerms, class Storage>
EAM_HD Real<Storage> combined_element(const Fused<Storage>& f, int64_t i) {
  Real<Storage> sum = 0;
  for (int k = 0; k < kTerms; ++k) sum += f.c[k] * static_cast<Real<Storage>>(widen(f.x[k][i]));
  return sum + f.c_y * f.y[i];
}

static_assert(kFused == 3);  // the loops name the numbers of terms

namespace baseline {
#define EAM_VECTOR_BYTES 16
#include "kernels/fused_loops.inc"
#undef EAM_VECTOR_BYTES
}  // namespace baseline

#ifdef EAM_X86_VECTORS
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,f16c")
#endif
namespace avx2 {
#define EAM_VECTOR_BYTES 32
#include "kernels/fused_loops.inc"
#undef EAM_VECTOR_BYTES
}  // namespace avx2
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl")
#endif
namespace avx512 {
#define EAM_VECTOR_BYTES 64
#include "kernels/fused_loops.inc"
#undef EAM_VECTOR_BYTES
}  // namespace avx512
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
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

bool runs([[maybe_unused]] Instructions instructions) {
#ifdef EAM_X86_VECTORS
  if (instructions == Instructions::avx512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
  // Every processor with AVX2 has F16C, which GCC cannot ask for.
  if (instructions == Instructions::avx2) return __builtin_cpu_supports("avx2");
#endif
  return instructions == Instructions::baseline;
}

Instructions fastest() {
  static const Instructions found = runs(Instructions::avx512) ? Instructions::avx512
                                    : runs(Instructions::avx2) ? Instructions::avx2
                                                               : Instructions::baseline;
  return found;
}

template <class Storage>
void store(const Fused<Storage>& fused, Storage* out, int64_t n, [[maybe_unused]] Instructions instructions) {
#ifdef EAM_X86_VECTORS
  if (instructions == Instructions::avx512) return avx512::store(fused, out, n);
  if (instructions == Instructions::avx2) return avx2::store(fused, out, n);
#endif
  baseline::store(fused, out, n);
}

template <class Storage>
void store_difference(const Fused<Storage>& fused, const Storage* v, Real<Storage> scale, Storage* grad,
                      Real<Storage>* sums, int64_t n, [[maybe_unused]] Instructions instructions) {
#ifdef EAM_X86_VECTORS
  if (instructions == Instructions::avx512) return avx512::store_difference(fused, v, scale, grad, sums, n);
  if (instructions == Instructions::avx2) return avx2::store_difference(fused, v, scale, grad, sums, n);
#endif
  baseline::store_difference(fused, v, scale, grad, sums, n);
}

#define EAM_FUSED(Storage)                                                                                       \
  template void store(const Fused<Storage>&, Storage*, int64_t, Instructions);                                   \
  template void store_difference(const Fused<Storage>&, const Storage*, Real<Storage>, Storage*, Real<Storage>*, \
                                 int64_t, Instructions);
EAM_FUSED(float)
EAM_FUSED(double)
EAM_FUSED(BFloat16)
EAM_FUSED(Float16)
#undef EAM_FUSED

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

double sum_squares(const float* y, int64_t n) {
  return run_sum_squares(y, n);
}
double sum_squares(const double* y, int64_t n) {
  return run_sum_squares(y, n);
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
