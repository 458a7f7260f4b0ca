#pragma once

#include <cstdint>

// Reductions in a fixed order: the result depends on the data alone.
namespace eam::kernels::cuda {

constexpr int kThreads = 256;
constexpr unsigned kAllLanes = 0xffffffffu;

// The sum over the block, in thread 0. Every thread of a block of kThreads calls it.
__device__ inline double block_sum(double value) {
  __shared__ double warps[kThreads / 32];
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(kAllLanes, value, offset);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  value = threadIdx.x < kThreads / 32 ? warps[threadIdx.x] : 0.0;
  if (threadIdx.x < 32)
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(kAllLanes, value, offset);
  __syncthreads();  // the next call writes `warps`
  return value;
}

// sums[row] = Σ partial[row · count … (row+1) · count), rows strided over the grid.
static __global__ void sum_rows(const double* partial, int64_t rows, int64_t count, double* sums) {
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += partial[row * count + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[row] = sum;
  }
}

// Loops stride over the grid, so this bounds nothing but the launch.
inline unsigned grid_of(int64_t blocks) {
  constexpr int64_t kMostBlocks = int64_t{1} << 20;
  return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

}  // namespace eam::kernels::cuda
