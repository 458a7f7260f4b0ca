#include "kernels/affine.h"

#include <algorithm>
#include <type_traits>

#include "kernels/stream.h"
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

// The common case, tensors of one dtype and few terms: everything but the generator in one loop.

// Whether that is the case.
bool fits_one_loop(const Combination& c, DType other) {
  if (c.terms > tile::kFused) return false;
  return std::all_of(c.dtype, c.dtype + c.terms, [other](DType dtype) { return dtype == other; });
}

// Asks for memory that is needed after the generator has run, which is long enough for it to arrive.
template <class Storage>
void prefetch(const Storage* data, int64_t n) {
  const char* bytes = reinterpret_cast<const char*>(data);
  for (int64_t i = 0; i < n * static_cast<int64_t>(sizeof(Storage)); i += 64) __builtin_prefetch(bytes + i, 0, 3);
}

// A combination, tile by tile.
template <class Storage>
class Tiles {
 public:
  using Real = tile::Real<Storage>;

  Tiles(const Combination& c, int64_t sample) : c_(c), sample_(sample) {
    fused_.terms = c.terms;
    for (int k = 0; k < c.terms; ++k) fused_.c[k] = static_cast<Real>(c.coefficients[k * c.samples + sample]);
    fused_.c_y = c.noise_coefficients ? static_cast<Real>(c.noise_coefficients[sample]) : Real(0);
    if (!c.noise_coefficients) std::fill(normals_, normals_ + tile::kElements, Real(0));
  }

  // extra: what the caller reads besides.
  const tile::Fused<Storage>& at(int64_t i, int64_t n, const Storage* extra) {
    const int64_t offset = sample_ * c_.elements + i;
    fused_.y = normals_;
    if (c_.noise_coefficients) {
      for (int k = 0; k < c_.terms; ++k) prefetch(static_cast<const Storage*>(c_.data[k]) + offset, n);
      if (extra) prefetch(extra, n);
      const uint64_t first = static_cast<uint64_t>(c_.stream_per_sample ? i : offset);
      const auto skip = static_cast<int64_t>(first & 3);  // a block may begin before the tile
      tile::fill_normals(c_.seed, c_.streams[c_.stream_per_sample ? sample_ : 0], first >> 2, (skip + n + 3) / 4,
                         normals_);
      fused_.y += skip;
    }
    for (int k = 0; k < c_.terms; ++k) fused_.x[k] = static_cast<const Storage*>(c_.data[k]) + offset;
    return fused_;
  }

 private:
  const Combination& c_;
  const int64_t sample_;
  tile::Fused<Storage> fused_;
  alignas(64) Real normals_[tile::kElements + 4];
};

// Whether a call that touches so many tensors writes past the cache: what it writes would not stay there.
template <class Storage>
bool outgrows_cache(const Combination& c, int tensors) {
  return tensors * c.samples * c.elements * static_cast<int64_t>(sizeof(Storage)) > cache_bytes();
}

// Calls compute(j, m, to) for pieces of `n` results, m from the j-th, and sees to it that they reach `target`.
template <class Storage, class Compute>
void write(bool past_cache, Storage* target, int64_t n, const Compute& compute) {
  if (!past_cache) return compute(0, n, target);
  constexpr int64_t kPiece = 128;  // so short that reading and writing overlap
  alignas(64) Storage piece[kPiece];
  for (int64_t j = 0; j < n; j += kPiece) {
    const int64_t m = std::min(kPiece, n - j);
    compute(j, m, piece);
    stream(piece, target + j, m * static_cast<int64_t>(sizeof(Storage)));
  }
}

template <class Storage>
void affine_tiles(const Combination& c, Storage* out, int64_t sample, int64_t begin, int64_t end) {
  Tiles<Storage> tiles(c, sample);
  const bool past_cache = outgrows_cache<Storage>(c, c.terms + 1);
  for (int64_t i = begin; i < end; i += tile::kElements) {
    const int64_t n = std::min(tile::kElements, end - i);
    const auto& fused = tiles.at(i, n, nullptr);
    write(past_cache, out + sample * c.elements + i, n,
          [&](int64_t j, int64_t m, Storage* to) { tile::store(tile::from(fused, j), to, m); });
  }
  if (past_cache) finish_streams();
}

template <class Storage>
double regression_tiles(const Regression& r, int64_t sample, int64_t begin, int64_t end) {
  using Real = tile::Real<Storage>;
  Tiles<Storage> tiles(r.target, sample);
  const auto scale = static_cast<Real>(r.grad_scale[sample]);
  const bool past_cache = outgrows_cache<Storage>(r.target, r.target.terms + 2);
  double sum = 0;
  for (int64_t i = begin; i < end; i += tile::kElements) {
    const int64_t n = std::min(tile::kElements, end - i), offset = sample * r.target.elements + i;
    const Storage* velocity = static_cast<const Storage*>(r.velocity) + offset;
    const auto& fused = tiles.at(i, n, velocity);
    alignas(64) Real sums[tile::kLanes] = {};
    write(past_cache, static_cast<Storage*>(r.grad) + offset, n, [&](int64_t j, int64_t m, Storage* to) {
      tile::store_difference(tile::from(fused, j), velocity + j, scale, to, sums, m);
    });
    for (Real lane : sums) sum += lane;
  }
  if (past_cache) finish_streams();
  return sum;
}

}  // namespace

bool needs_double(const Combination& combination) {
  return std::find(combination.dtype, combination.dtype + combination.terms, DType::float64) !=
         combination.dtype + combination.terms;
}

void affine(const Combination& combination, void* out, DType out_dtype, int64_t sample, int64_t begin, int64_t end) {
  if (fits_one_loop(combination, out_dtype)) {
    with_storage(out_dtype,
                 [&](auto* type) { affine_tiles(combination, static_cast<decltype(type)>(out), sample, begin, end); });
  } else if (needs_double(combination) || out_dtype == DType::float64) {
    affine_range<double>(combination, out, out_dtype, sample, begin, end);
  } else {
    affine_range<float>(combination, out, out_dtype, sample, begin, end);
  }
}

double affine_regression(const Regression& regression, int64_t sample, int64_t begin, int64_t end) {
  if (fits_one_loop(regression.target, regression.velocity_dtype)) {
    double sum = 0;
    with_storage(regression.velocity_dtype, [&](auto* type) {
      sum = regression_tiles<std::remove_pointer_t<decltype(type)>>(regression, sample, begin, end);
    });
    return sum;
  }
  if (needs_double(regression.target) || regression.velocity_dtype == DType::float64)
    return regression_range<double>(regression, sample, begin, end);
  return regression_range<float>(regression, sample, begin, end);
}

}  // namespace eam::kernels
