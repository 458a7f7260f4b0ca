#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/storage.h"

// The inner loops of the CPU kernels: each works on a piece small enough for the first-level cache, so that a kernel
// reads and writes memory once however many loops it is made of.
namespace eam::kernels::tile {

constexpr int64_t kElements = 1024;  // with twice as many, more memory is asked for at once than can be in flight
constexpr int kLanes = 16;  // partial sums; fixed, so that the order of addition is the same on every processor

// Elements 4 first_block … 4 (first_block + blocks) − 1 of a stream, blocks ≤ kElements/4 + 1.
void fill_normals(uint64_t seed, uint64_t stream, uint64_t first_block, int64_t blocks, float* out);
void fill_normals(uint64_t seed, uint64_t stream, uint64_t first_block, int64_t blocks, double* out);

// y += c x
void add_scaled(float* y, const void* x, DType dtype, int64_t offset, float c, int64_t n);
void add_scaled(double* y, const void* x, DType dtype, int64_t offset, double c, int64_t n);

// y = x − y
void subtract_from(float* y, const void* x, DType dtype, int64_t offset, int64_t n);
void subtract_from(double* y, const void* x, DType dtype, int64_t offset, int64_t n);

// Σ y²
double sum_squares(const float* y, int64_t n);
double sum_squares(const double* y, int64_t n);

// What arithmetic on tensors stored so is done in.
template <class Storage>
using Real = std::conditional_t<std::is_same_v<Storage, double>, double, float>;

// Σ_k c_k x_k + c_y y: a combination that one loop computes.
constexpr int kFused = 3;
template <class Storage>
struct Fused {
  int terms;  // at most kFused
  const Storage* x[kFused];
  Real<Storage> c[kFused];
  const Real<Storage>* y;
  Real<Storage> c_y;
};

// The combination from its i-th element on.
template <class Storage>
Fused<Storage> from(Fused<Storage> fused, int64_t i) {
  for (int k = 0; k < fused.terms; ++k) fused.x[k] += i;
  fused.y += i;
  return fused;
}

// The instruction sets that the loops over combinations are compiled for; all give the same bits.
enum class Instructions { baseline, avx2, avx512 };
bool runs(Instructions instructions);  // whether this processor has them
Instructions fastest();

// out = the combination; for every storage type.
template <class Storage>
void store(const Fused<Storage>& fused, Storage* out, int64_t n, Instructions instructions = fastest());

// grad = scale (v − the combination), sums[i mod kLanes] += (v − the combination)²; n is a multiple of kLanes but in a
// sample's last call. For every storage type.
template <class Storage>
void store_difference(const Fused<Storage>& fused, const Storage* v, Real<Storage> scale, Storage* grad,
                      Real<Storage>* sums, int64_t n, Instructions instructions = fastest());

// out = c y
void store_scaled(const float* y, float c, void* out, DType dtype, int64_t offset, int64_t n);
void store_scaled(const double* y, double c, void* out, DType dtype, int64_t offset, int64_t n);

}  // namespace eam::kernels::tile
