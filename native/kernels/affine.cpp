#include "kernels/affine.h"

#include <algorithm>

#include "kernels/tile.h"

namespace eam::kernels {

namespace {

// y[0 … n) = the combination at elements [i, i+n) of a sample, n ≤ tile::kElements.
template <class Real>
void combine(const Combination& c, int64_t sample, int64_t i, int64_t n, Real* y) {
  std::fill(y, y + n, Real(0));
  for (int k = 0; k < c.terms; ++k)
    tile::add_scaled(y, c.data[k], c.dtype[k], sample * c.elements + i,
                     static_cast<Real>(c.coefficients[k * c.samples + sample]), n);
  if (!c.noise_coefficients) return;

  Real normals[tile::kElements + 4];
  uint64_t stream = c.streams[c.stream_per_sample ? sample : 0];
  uint64_t first = static_cast<uint64_t>(c.stream_per_sample ? i : sample * c.elements + i);
  int64_t skip = static_cast<int64_t>(first & 3);  // a block may begin before the tile
  tile::fill_normals(c.seed, stream, first >> 2, (skip + n + 3) / 4, normals);
  DType dtype = sizeof(Real) == 8 ? DType::float64 : DType::float32;
  tile::add_scaled(y, normals, dtype, skip, static_cast<Real>(c.noise_coefficients[sample]), n);
}

template <class Real>
void affine_range(const Combination& c, void* out, DType out_dtype, int64_t sample, int64_t begin, int64_t end) {
  Real y[tile::kElements];
  for (int64_t i = begin; i < end; i += tile::kElements) {
    int64_t n = std::min(tile::kElements, end - i);
    combine(c, sample, i, n, y);
    tile::store_scaled(y, Real(1), out, out_dtype, sample * c.elements + i, n);
  }
}

template <class Real>
double regression_range(const Regression& r, int64_t sample, int64_t begin, int64_t end) {
  Real y[tile::kElements];
  double sum = 0;
  for (int64_t i = begin; i < end; i += tile::kElements) {
    int64_t n = std::min(tile::kElements, end - i);
    int64_t offset = sample * r.target.elements + i;
    combine(r.target, sample, i, n, y);
    tile::subtract_from(y, r.velocity, r.velocity_dtype, offset, n);
    sum += tile::sum_squares(y, n);
    tile::store_scaled(y, static_cast<Real>(r.grad_scale[sample]), r.grad, r.velocity_dtype, offset, n);
  }
  return sum;
}

}  // namespace

bool needs_double(const Combination& combination) {
  return std::find(combination.dtype, combination.dtype + combination.terms, DType::float64) !=
         combination.dtype + combination.terms;
}

void affine(const Combination& combination, void* out, DType out_dtype, int64_t sample, int64_t begin, int64_t end) {
  if (needs_double(combination) || out_dtype == DType::float64)
    affine_range<double>(combination, out, out_dtype, sample, begin, end);
  else
    affine_range<float>(combination, out, out_dtype, sample, begin, end);
}

double affine_regression(const Regression& regression, int64_t sample, int64_t begin, int64_t end) {
  if (needs_double(regression.target) || regression.velocity_dtype == DType::float64)
    return regression_range<double>(regression, sample, begin, end);
  return regression_range<float>(regression, sample, begin, end);
}

}  // namespace eam::kernels
