#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

// Timing for the bench programs: what is compared is measured in turns, so that a busy moment falls on all of it.
namespace eam::bench {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Linear interpolation between order statistics.
inline double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double place = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

struct Row {
  std::string section, name, variant, dtype;
  int64_t elements;
};

inline void print_header() {
  std::puts("section,name,variant,dtype,elements,threads,repeats,unit,p20,p50,p80");
}

inline void print_row(const Row& row, const std::vector<double>& values, const char* unit) {
  std::printf("%s,%s,%s,%s,%lld,%d,%zu,%s,%.6g,%.6g,%.6g\n", row.section.c_str(), row.name.c_str(), row.variant.c_str(),
              row.dtype.c_str(), static_cast<long long>(row.elements), at::get_num_threads(), values.size(), unit,
              quantile(values, 0.2), quantile(values, 0.5), quantile(values, 0.8));
  std::fflush(stdout);
}

struct Variant {
  std::string name;
  std::function<void()> work;
};

// How long one comparison may take. At least `least` repetitions are made whatever they cost.
struct Budget {
  double seconds;
  int least, most;
};

// Every variant once a round; microseconds. Each is run once more before it is timed, so that it finds the caches and
// the allocator as it leaves them itself: whoever came after the largest temporaries would pay for them.
inline void compare(Row row, const std::vector<Variant>& variants, const Budget& budget) {
  std::vector<std::vector<double>> times(variants.size());
  const double start = now();
  for (int round = 0; round < budget.most && (round < budget.least || now() - start < budget.seconds); ++round) {
    for (size_t i = 0; i < variants.size(); ++i) {
      variants[i].work();
      const double begin = now();
      variants[i].work();
      times[i].push_back(1e6 * (now() - begin));
    }
  }
  for (size_t i = 0; i < variants.size(); ++i) {
    row.variant = variants[i].name;
    print_row(row, times[i], "us");
  }
}

}  // namespace eam::bench
