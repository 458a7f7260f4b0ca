#include "algorithms/running_quantile.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "ops/error.h"

namespace eam {

RunningQuantile::RunningQuantile(double quantile, size_t window) : quantile_(quantile), window_(window) {}

void RunningQuantile::add(double value) {
  if (values_.size() == window_) values_.erase(values_.begin());
  values_.push_back(value);
}

double RunningQuantile::threshold() const {
  if (values_.empty()) return std::numeric_limits<double>::infinity();
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const double position = quantile_ * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  if (below + 1 == sorted.size()) return sorted.back();
  const double part = position - static_cast<double>(below);
  return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

void RunningQuantile::load(std::vector<double> values) {
  for (const double value : values) {
    if (!std::isfinite(value)) {
      throw bad_value("the running quantile's state", "finite values", value, ErrorKind::checkpoint);
    }
  }
  const size_t excess = values.size() > window_ ? values.size() - window_ : 0;
  values_.assign(values.begin() + static_cast<std::ptrdiff_t>(excess), values.end());
}

}  // namespace eam
