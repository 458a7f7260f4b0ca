#pragma once

#include <cstdint>

#include "kernels/storage.h"

#if defined(EAM_WITH_CUDA) || defined(__CUDACC__)
#include <cuda_runtime_api.h>
#endif

// Two kernels serve every formula of the package: an affine combination of per-sample tensors with per-sample
// scalar coefficients, and the regression of a velocity on one.
namespace eam::kernels {

constexpr int kMaxTerms = 8;

// y[b, i] = Σ_k coefficients[k][b] x_k[b, i] + noise_coefficients[b] ε[b, i]
struct Combination {
  int64_t samples = 0;               // B
  int64_t elements = 0;              // N, of one sample
  int terms = 0;                     // K
  const void* data[kMaxTerms] = {};  // K × [B, N]
  DType dtype[kMaxTerms] = {};
  const double* coefficients = nullptr;        // [K, B]
  const double* noise_coefficients = nullptr;  // [B], null: no ε
  uint64_t seed = 0;
  const uint64_t* streams = nullptr;  // [1]: elements counted over the tensor; [B]: from the sample's start
  bool stream_per_sample = false;
};

// The regression target is a Combination.
struct Regression {
  Combination target;
  const void* velocity = nullptr;         // [B, N]
  DType velocity_dtype = DType::float32;  // of grad too
  const double* grad_scale = nullptr;     // [B]
  void* grad = nullptr;                   // [B, N]: grad_scale[b] (velocity − target)
};

// Double arithmetic where a float64 tensor takes part, float otherwise.
bool needs_double(const Combination& combination);

// Serial, over elements [begin, end) of one sample. Split where you like: the elements do not depend on it.
void affine(const Combination& combination, void* out, DType out_dtype, int64_t sample, int64_t begin, int64_t end);

// Returns Σ (velocity − target)² over [begin, end). The sum's rounding depends on the range, so a caller that wants
// the same bits for any number of threads cuts samples at fixed places.
double affine_regression(const Regression& regression, int64_t sample, int64_t begin, int64_t end);

#if defined(EAM_WITH_CUDA) || defined(__CUDACC__)
namespace cuda {

// All pointers are device memory. Nothing here waits for the device. The results do not depend on the launch's shape.
cudaError_t affine(const Combination& combination, void* out, DType out_dtype, cudaStream_t stream);

// Doubles of scratch that affine_regression wants.
int64_t affine_regression_scratch(const Combination& target);

// sums [B]: Σ_i (velocity − target)². Two stages, each in a fixed order, no atomics.
cudaError_t affine_regression(const Regression& regression, double* scratch, double* sums, cudaStream_t stream);

}  // namespace cuda
#endif

}  // namespace eam::kernels
