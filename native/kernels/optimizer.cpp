#include "kernels/optimizer.h"

#include <algorithm>

#include "kernels/tile.h"

namespace eam::kernels {

EAM_MULTIVERSION void run_adamw(const AdamWScalars& scalars, float* __restrict parameter,
                                const float* __restrict gradient, float* __restrict first_moment,
                                float* __restrict second_moment, int64_t count) {
  const AdamWScalars s = scalars;  // a copy that the stores below cannot alias
  for (int64_t i = 0; i < count; ++i) adamw_element(s, parameter + i, gradient[i], first_moment + i, second_moment + i);
}

EAM_MULTIVERSION void run_ema(float decay, float* __restrict average, const float* __restrict parameter,
                              int64_t count) {
  for (int64_t i = 0; i < count; ++i) average[i] += (1.0f - decay) * (parameter[i] - average[i]);
}

void adamw(const AdamWScalars& scalars, float* parameter, const float* gradient, float* first_moment,
           float* second_moment, int64_t count) {
  run_adamw(scalars, parameter, gradient, first_moment, second_moment, count);
}

void ema(float decay, float* average, const float* parameter, int64_t count) {
  run_ema(decay, average, parameter, count);
}

double sum_squares(const float* data, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i += tile::kElements)
    sum += tile::sum_squares(data + i, std::min(tile::kElements, count - i));
  return sum;
}

}  // namespace eam::kernels
