#include "kernels/device.cuh"
#include "kernels/optimizer.h"

namespace eam::kernels::cuda {

namespace {

// One block of threads a piece; pieces strided over the grid. LibTorch aligns allocations, and pieces begin at
// multiples of kPiece, so four floats at a time nearly always.
template <class Four, class One>
__device__ __forceinline__ void for_each_element(int64_t count, bool vectors, const Four& four, const One& one) {
  int64_t whole = vectors ? count / 4 : 0;
  for (int64_t i = threadIdx.x; i < whole; i += kThreads) four(i);
  for (int64_t i = 4 * whole + threadIdx.x; i < count; i += kThreads) one(i);
}

__device__ __forceinline__ bool aligned(const float* a, const float* b, const float* m, const float* v) {
  return ((reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b) | reinterpret_cast<uintptr_t>(m) |
           reinterpret_cast<uintptr_t>(v)) &
          15) == 0;
}

__device__ __forceinline__ float4& four_of(float* data, int64_t i) {
  return reinterpret_cast<float4*>(data)[i];
}
__device__ __forceinline__ float4 four_of(const float* data, int64_t i) {
  return reinterpret_cast<const float4*>(data)[i];
}

__global__ void __launch_bounds__(kThreads) adamw_kernel(const AdamWScalars s, const Piece* pieces, int64_t count) {
  for (int64_t p = blockIdx.x; p < count; p += gridDim.x) {
    const Piece piece = pieces[p];
    for_each_element(
        piece.count, aligned(piece.a, piece.b, piece.m, piece.v),
        [&](int64_t i) {
          float4 a = four_of(piece.a, i), g = four_of(piece.b, i), m = four_of(piece.m, i), v = four_of(piece.v, i);
          adamw_element(s, &a.x, g.x, &m.x, &v.x);
          adamw_element(s, &a.y, g.y, &m.y, &v.y);
          adamw_element(s, &a.z, g.z, &m.z, &v.z);
          adamw_element(s, &a.w, g.w, &m.w, &v.w);
          four_of(piece.a, i) = a;
          four_of(piece.m, i) = m;
          four_of(piece.v, i) = v;
        },
        [&](int64_t i) { adamw_element(s, piece.a + i, piece.b[i], piece.m + i, piece.v + i); });
  }
}

__global__ void __launch_bounds__(kThreads) ema_kernel(float decay, const Piece* pieces, int64_t count) {
  for (int64_t p = blockIdx.x; p < count; p += gridDim.x) {
    const Piece piece = pieces[p];
    auto blend = [decay](float average, float parameter) { return average + (1.0f - decay) * (parameter - average); };
    for_each_element(
        piece.count, aligned(piece.a, piece.b, nullptr, nullptr),
        [&](int64_t i) {
          float4 a = four_of(piece.a, i), b = four_of(piece.b, i);
          four_of(piece.a, i) = make_float4(blend(a.x, b.x), blend(a.y, b.y), blend(a.z, b.z), blend(a.w, b.w));
        },
        [&](int64_t i) { piece.a[i] = blend(piece.a[i], piece.b[i]); });
  }
}

__global__ void __launch_bounds__(kThreads) squares_kernel(const Piece* pieces, int64_t count, double* partial) {
  for (int64_t p = blockIdx.x; p < count; p += gridDim.x) {
    const Piece piece = pieces[p];
    float sum = 0;
    for_each_element(
        piece.count, aligned(piece.a, nullptr, nullptr, nullptr),
        [&](int64_t i) {
          float4 a = four_of(piece.a, i);
          sum += a.x * a.x + a.y * a.y + a.z * a.z + a.w * a.w;
        },
        [&](int64_t i) { sum += piece.a[i] * piece.a[i]; });
    double block = block_sum(static_cast<double>(sum));
    if (threadIdx.x == 0) partial[p] = block;
  }
}

}  // namespace

cudaError_t adamw(const AdamWScalars& scalars, const Piece* pieces, int64_t count, cudaStream_t stream) {
  adamw_kernel<<<grid_of(count), kThreads, 0, stream>>>(scalars, pieces, count);
  return cudaGetLastError();
}

cudaError_t ema(float decay, const Piece* pieces, int64_t count, cudaStream_t stream) {
  ema_kernel<<<grid_of(count), kThreads, 0, stream>>>(decay, pieces, count);
  return cudaGetLastError();
}

cudaError_t sum_squares(const Piece* pieces, int64_t count, double* scratch, double* sum, cudaStream_t stream) {
  squares_kernel<<<grid_of(count), kThreads, 0, stream>>>(pieces, count, scratch);
  if (cudaError_t status = cudaGetLastError(); status != cudaSuccess) return status;
  sum_rows<<<1, kThreads, 0, stream>>>(scratch, 1, count, sum);
  return cudaGetLastError();
}

}  // namespace eam::kernels::cuda
