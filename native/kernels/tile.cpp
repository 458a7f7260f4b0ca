#include "kernels/tile.h"

#include "kernels/philox.h"

namespace eam::kernels::tile {

namespace {

constexpr int64_t kBlocks = kElements / 4 + 1;
constexpr int kLanes = 16;  // partial sums; fixed, so that the order of addition is the same on every processor

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

template <class Storage>
const Storage* at(const void* data, int64_t offset, Storage*) {
  return static_cast<const Storage*>(data) + offset;
}

}  // namespace

EAM_MULTIVERSION void fill_normals(uint64_t seed, uint64_t stream, uint64_t first_block, int64_t blocks, float* out) {
  uint32_t words[4][kBlocks];
  for (int64_t j = 0; j < blocks; ++j) {
    PhiloxBlock block = philox_block(seed, stream, first_block + static_cast<uint64_t>(j));
    for (int k = 0; k < 4; ++k) words[k][j] = block.word[k];
  }
  for (int64_t j = 0; j < blocks; ++j) {
    box_muller(words[0][j], words[1][j], out + 4 * j, out + 4 * j + 1);
    box_muller(words[2][j], words[3][j], out + 4 * j + 2, out + 4 * j + 3);
  }
}

void fill_normals(uint64_t seed, uint64_t stream, uint64_t first_block, int64_t blocks, double* out) {
  for (int64_t j = 0; j < blocks; ++j)
    philox_normals(seed, stream, first_block + static_cast<uint64_t>(j), out + 4 * j);
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
