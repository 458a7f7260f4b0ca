#pragma once

#include <cstddef>
#include <vector>

namespace eam {

// A quantile, above 0 and at most 1, of the last `window` values.
class RunningQuantile {
 public:
  explicit RunningQuantile(double quantile, size_t window = 512);

  void add(double value);
  // Interpolated between neighbours; infinity while there is no value.
  double threshold() const;

  double quantile() const { return quantile_; }
  const std::vector<double>& values() const { return values_; }  // oldest first
  void load(std::vector<double> values);                         // the last `window` of them

 private:
  double quantile_;
  size_t window_;
  std::vector<double> values_;
};

}  // namespace eam
