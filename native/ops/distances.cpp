#include "ops/distances.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cdist.h>
#include <ATen/ops/digamma.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/pdist.h>
#include <ATen/ops/scalar_tensor.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "ops/checks.h"
#include "ops/error.h"
#include "ops/ops.h"

namespace eam::ops {

namespace {

constexpr int64_t pairs_at_once = int64_t{1} << 17;  // a block of them stays in the cache
constexpr int64_t median_samples = 2000;

at::Tensor rows(const at::Tensor& samples, const char* name, int64_t at_least = 1) {
  check_floating(samples, name);
  if (samples.dim() < 2 || samples.size(0) < at_least) {
    throw bad_shape(name, words("shape [N, …] with N at least ", at_least), samples.sizes());
  }
  return samples.flatten(1).to(at::kFloat);
}

void check_same_width(const at::Tensor& x, const at::Tensor& y) {
  if (x.size(1) == y.size(1) && x.device() == y.device()) return;
  throw bad_shape("y", words(x.size(1), " numbers a sample on ", x.device(), " as x has"),
                  words(y.size(1), " on ", y.device()));
}

// Distances from a block of rows of x to all of y, by subtraction: the matrix product would lose near neighbours.
template <class Visit>
void visit_distances(const at::Tensor& x, const at::Tensor& y, Visit visit) {
  const int64_t block = std::max<int64_t>(1, pairs_at_once / y.size(0));
  for (int64_t begin = 0; begin < x.size(0); begin += block) {
    const int64_t end = std::min(begin + block, x.size(0));
    visit(at::cdist(x.slice(0, begin, end), y, 2, 2));
  }
}

double kernel_sum(const at::Tensor& x, const at::Tensor& y, const std::vector<double>& bandwidths) {
  if (bandwidths.empty()) throw bad_value("bandwidths", "at least one", "none");
  for (const double bandwidth : bandwidths) {
    if (bandwidth > 0 && std::isfinite(bandwidth)) continue;
    throw bad_value("bandwidths", "numbers above 0", bandwidth);
  }
  double sum = 0;
  visit_distances(x, y, [&](const at::Tensor& distances) {
    const at::Tensor squares = distances.square_();
    for (const double bandwidth : bandwidths) {
      sum += at::exp(squares * (-0.5 / (bandwidth * bandwidth))).sum(at::kDouble).item<double>();
    }
  });
  return sum / static_cast<double>(bandwidths.size());
}

double digamma(int64_t n) {
  return at::digamma(at::scalar_tensor(static_cast<double>(n), at::kDouble)).item<double>();
}

}  // namespace

double median_distance(const at::Tensor& samples) {
  const at::Tensor x = rows(samples, "samples", 2);
  return at::pdist(x.slice(0, 0, median_samples).contiguous()).median().item<double>();
}

double mean_kernel(const at::Tensor& x, const at::Tensor& y, const std::vector<double>& bandwidths) {
  const at::Tensor a = rows(x, "x"), b = rows(y, "y");
  check_same_width(a, b);
  return kernel_sum(a, b, bandwidths) / (static_cast<double>(a.size(0)) * static_cast<double>(b.size(0)));
}

double mean_kernel(const at::Tensor& samples, const std::vector<double>& bandwidths) {
  const at::Tensor x = rows(samples, "samples", 2);
  const auto n = static_cast<double>(x.size(0));
  // A sample's kernel with itself is 1.
  return (kernel_sum(x, x, bandwidths) - n) / (n * (n - 1));
}

double sliced_wasserstein(const at::Tensor& x, const at::Tensor& y, int64_t projections, uint64_t seed) {
  const at::Tensor a = rows(x, "x"), b = rows(y, "y");
  check_same_width(a, b);
  if (a.size(0) != b.size(0)) {
    throw bad_shape("y", words("as many samples as x, ", a.size(0)), b.size(0));
  }
  if (projections < 1) {
    throw bad_value("projections", "at least 1", projections);
  }
  at::Tensor directions = philox_normal({projections, a.size(1)}, {seed, {0}}, at::kFloat, a.device());
  directions = directions / directions.norm(2, {1}, true);
  const auto sorted = [&directions](const at::Tensor& samples) {
    return std::get<0>(at::matmul(directions, samples.t()).sort(1));
  };
  return std::sqrt((sorted(a) - sorted(b)).to(at::kDouble).square().mean().item<double>());
}

double entropy(const at::Tensor& samples, int64_t k) {
  const at::Tensor x = rows(samples, "samples", 2);
  const int64_t count = x.size(0), dimensions = x.size(1);
  if (k < 1 || k >= count) {
    throw bad_value("k", words("1 to ", count - 1, ", below the samples"), k);
  }
  double logs = 0;
  visit_distances(x, x, [&](const at::Tensor& distances) {
    // The smallest is the sample itself. Two samples that agree in float32 are as far apart as float32 can tell.
    const at::Tensor nearest = std::get<0>(distances.topk(k + 1, 1, false, true)).select(1, k);
    logs += nearest.to(at::kDouble).clamp_min(1e-30).log().sum().item<double>();
  });
  const auto d = static_cast<double>(dimensions);
  const double log_unit_ball = d / 2 * std::log(std::numbers::pi) - std::lgamma(d / 2 + 1);
  return digamma(count) - digamma(k) + log_unit_ball + d * logs / static_cast<double>(count);
}

}  // namespace eam::ops
