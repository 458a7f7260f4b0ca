#include "kernels/gelu.h"

namespace eam::kernels {

EAM_MULTIVERSION void run_gelu(const float* __restrict x, float* __restrict y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = gelu_element(x[i]);
}

EAM_MULTIVERSION void run_gelu_backward(const float* __restrict x, const float* __restrict upstream,
                                        float* __restrict grad, int64_t count) {
  for (int64_t i = 0; i < count; ++i) grad[i] = upstream[i] * gelu_derivative(x[i]);
}

void gelu(const float* x, float* y, int64_t count) {
  run_gelu(x, y, count);
}

void gelu_backward(const float* x, const float* upstream, float* grad, int64_t count) {
  run_gelu_backward(x, upstream, grad, count);
}

}  // namespace eam::kernels
