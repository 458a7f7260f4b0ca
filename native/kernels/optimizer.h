#pragma once

#include <cstdint>

#include "kernels/macros.h"

#if defined(EAM_WITH_CUDA) || defined(__CUDACC__)
#include <cuda_runtime_api.h>
#endif

// Updates over many float32 tensors at once.
namespace eam::kernels {

// Decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101), the bias corrections folded into two scalars:
//   g = grad_scale·grad;  m = β1 m + (1−β1) g;  v = β2 v + (1−β2) g²
//   p = (1 − lr·decay) p − step_size · m / (√v · second_correction + ε)
struct AdamWScalars {
  float grad_scale, beta1, one_minus_beta1, beta2, one_minus_beta2, keep, step_size, second_correction, epsilon;
};

EAM_HD void adamw_element(const AdamWScalars& s, float* p, float grad, float* m, float* v) {
  float g = s.grad_scale * grad;
  float first = s.beta1 * *m + s.one_minus_beta1 * g;
  float second = s.beta2 * *v + s.one_minus_beta2 * (g * g);
  *m = first;
  *v = second;
  *p = s.keep * *p - s.step_size * (first / (__builtin_sqrtf(second) * s.second_correction + s.epsilon));
}

// Serial, over `count` elements.
void adamw(const AdamWScalars& scalars, float* parameter, const float* gradient, float* first_moment,
           float* second_moment, int64_t count);
void ema(float decay, float* average, const float* parameter, int64_t count);
double sum_squares(const float* data, int64_t count);

#if defined(EAM_WITH_CUDA) || defined(__CUDACC__)
namespace cuda {

// Tensors are cut into pieces of kPiece elements; one row of the table a piece. Unused pointers are null.
struct Piece {
  float* a;        // parameter (adamw), average (ema), data (sum_squares)
  const float* b;  // gradient (adamw), parameter (ema)
  float* m;
  float* v;
  int64_t count;  // ≤ kPiece
};
constexpr int64_t kPiece = 16384;

cudaError_t adamw(const AdamWScalars& scalars, const Piece* pieces, int64_t count, cudaStream_t stream);
cudaError_t ema(float decay, const Piece* pieces, int64_t count, cudaStream_t stream);

// scratch [count]; sum [1]. Two stages, each in a fixed order.
cudaError_t sum_squares(const Piece* pieces, int64_t count, double* scratch, double* sum, cudaStream_t stream);

}  // namespace cuda
#endif

}  // namespace eam::kernels
