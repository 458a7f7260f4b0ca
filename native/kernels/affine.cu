#include "kernels/affine.h"
#include "kernels/device.cuh"
#include "kernels/philox.h"

namespace eam::kernels::cuda {

namespace {

// A thread works on groups of 8 elements: two Philox blocks, 16 bytes of halves. A block of threads takes a unit of
// kGroups groups a thread, always within one sample.
constexpr int kWidth = 8;
constexpr int kGroups = 4;
constexpr int64_t kUnit = int64_t{kThreads} * kWidth * kGroups;

// Compiled once for each dtype that all tensors may share; kMixed reads it at run time.
constexpr int kMixed = -1;

template <int kUniform>
__device__ __forceinline__ DType resolve(DType dtype) {
  return kUniform == kMixed ? dtype : static_cast<DType>(kUniform);
}

// Where groups begin. A sample that starts inside a Philox block, or off a 16-byte boundary, has a first group that
// starts before it, so that the others are aligned with both.
__host__ __device__ inline int64_t lead_of(const Combination& c, int64_t sample) {
  return c.stream_per_sample ? 0 : (sample * c.elements) & (kWidth - 1);
}

__host__ __device__ inline int64_t units_of(const Combination& c) {
  return (c.elements + (c.stream_per_sample ? 0 : kWidth - 1) + kUnit - 1) / kUnit;
}

struct Group {
  int64_t sample;
  int64_t first;   // element of the sample, may be negative
  int64_t offset;  // of `first` in the tensor
  bool whole;      // all 8 elements are the sample's

  __device__ Group(const Combination& c, int64_t sample_index, int64_t group)
      : sample(sample_index),
        first(group * kWidth - lead_of(c, sample_index)),
        offset(sample_index * c.elements + first),
        whole(first >= 0 && first + kWidth <= c.elements) {}
  __device__ bool has(const Combination& c, int lane) const { return first + lane >= 0 && first + lane < c.elements; }
};

template <class Storage>
struct alignas(16) Vector {
  Storage value[16 / sizeof(Storage)];
};

// One instruction: of an assignment nvcc takes the numbers apart again, to share a store with the branch for single
// ones.
template <class Storage>
__device__ __forceinline__ void store(Vector<Storage>* target, const Vector<Storage>& vector) {
  uint4 bits;
  memcpy(&bits, &vector, sizeof bits);
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(target)), "r"(bits.x),
               "r"(bits.y), "r"(bits.z), "r"(bits.w)
               : "memory");
}

template <class Storage>
__device__ __forceinline__ bool aligned(const Storage* data) {
  return (reinterpret_cast<uintptr_t>(data) & 15) == 0;
}

template <class Storage, class Use>
__device__ __forceinline__ void read(const Combination& c, const Group& g, const Storage* data, const Use& use) {
  const Storage* source = data + g.offset;
  if (g.whole && aligned(source)) {
    constexpr int kPer = 16 / sizeof(Storage);
    Vector<Storage> vectors[kWidth / kPer];
#pragma unroll
    for (int i = 0; i < kWidth / kPer; ++i) vectors[i] = reinterpret_cast<const Vector<Storage>*>(source)[i];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) use(i, widen(vectors[i / kPer].value[i % kPer]));
  } else {
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      if (g.has(c, i)) use(i, widen(source[i]));
  }
}

template <class Real, class Storage>
__device__ __forceinline__ void write(const Combination& c, const Group& g, Storage* data, const Real* y) {
  Storage* target = data + g.offset;
  if (g.whole && aligned(target)) {
    constexpr int kPer = 16 / sizeof(Storage);
    Vector<Storage> vectors[kWidth / kPer];
#pragma unroll
    for (int i = 0; i < kWidth; ++i) narrow(y[i], &vectors[i / kPer].value[i % kPer]);
#pragma unroll
    for (int i = 0; i < kWidth / kPer; ++i) store(reinterpret_cast<Vector<Storage>*>(target) + i, vectors[i]);
  } else {
#pragma unroll
    for (int i = 0; i < kWidth; ++i)
      if (g.has(c, i)) narrow(y[i], target + i);
  }
}

template <class Real, class Storage>
__device__ __forceinline__ void add_term(const Combination& c, const Group& g, int k, Real* y) {
  Real coefficient = static_cast<Real>(c.coefficients[k * c.samples + g.sample]);
  read(c, g, static_cast<const Storage*>(c.data[k]),
       [&](int i, auto x) { y[i] += coefficient * static_cast<Real>(x); });
}

template <class Real>
__device__ __forceinline__ void add_noise(const Combination& c, const Group& g, Real* y) {
  Real coefficient = static_cast<Real>(c.noise_coefficients[g.sample]);
  uint64_t stream = c.streams[c.stream_per_sample ? g.sample : 0];
  // first is a multiple of 8 from the stream's start by the choice of the lead
  int64_t element = c.stream_per_sample ? g.first : g.offset;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    Real normals[4];
    philox_normals(c.seed, stream, static_cast<uint64_t>(element / 4 + half), normals);
#pragma unroll
    for (int i = 0; i < 4; ++i) y[4 * half + i] += coefficient * normals[i];
  }
}

template <class Real, int kUniform>
__device__ __forceinline__ void combine(const Combination& c, const Group& g, Real* y) {
#pragma unroll
  for (int i = 0; i < kWidth; ++i) y[i] = 0;
#pragma unroll
  for (int k = 0; k < kMaxTerms; ++k) {
    if (k >= c.terms) break;
    with_storage(resolve<kUniform>(c.dtype[k]),
                 [&](auto* type) { add_term<Real, std::remove_pointer_t<decltype(type)>>(c, g, k, y); });
  }
  if (c.noise_coefficients) add_noise(c, g, y);
}

template <class Real, int kUniform>
__global__ void __launch_bounds__(kThreads)
    affine_kernel(const __grid_constant__ Combination c, void* out, DType out_dtype) {
  int64_t units = units_of(c);
  for (int64_t unit = blockIdx.x; unit < units * c.samples; unit += gridDim.x) {
    int64_t first = unit % units * (kThreads * kGroups) + threadIdx.x;
    for (int step = 0; step < kGroups; ++step) {
      Group g(c, unit / units, first + step * kThreads);
      if (g.first >= c.elements) break;
      Real y[kWidth];
      combine<Real, kUniform>(c, g, y);
      with_storage(resolve<kUniform>(out_dtype), [&](auto* type) { write(c, g, static_cast<decltype(type)>(out), y); });
    }
  }
}

template <class Real, int kUniform>
__global__ void __launch_bounds__(kThreads) regression_kernel(const __grid_constant__ Regression r, double* partial) {
  const Combination& c = r.target;
  int64_t units = units_of(c);
  for (int64_t unit = blockIdx.x; unit < units * c.samples; unit += gridDim.x) {
    int64_t first = unit % units * (kThreads * kGroups) + threadIdx.x;
    Real sum = 0;
    for (int step = 0; step < kGroups; ++step) {
      Group g(c, unit / units, first + step * kThreads);
      if (g.first >= c.elements) break;
      Real y[kWidth];
      combine<Real, kUniform>(c, g, y);
      Real scale = static_cast<Real>(r.grad_scale[g.sample]);
      with_storage(resolve<kUniform>(r.velocity_dtype), [&](auto* type) {
        read(c, g, static_cast<decltype(type)>(const_cast<void*>(r.velocity)), [&](int i, auto v) {
          Real difference = static_cast<Real>(v) - y[i];
          sum += difference * difference;
          y[i] = scale * difference;
        });
        write(c, g, static_cast<decltype(type)>(r.grad), y);
      });
    }
    double block = block_sum(static_cast<double>(sum));
    if (threadIdx.x == 0) partial[unit] = block;
  }
}

template <class RealType, int kUniformValue>
struct Instance {
  using Real = RealType;
  static constexpr int kUniform = kUniformValue;
};

// Calls `launch` with the Instance for the dtypes of the tensors.
template <class Launch>
void select(const Combination& c, DType other, const Launch& launch) {
  bool uniform = true;
  for (int k = 0; k < c.terms; ++k) uniform = uniform && c.dtype[k] == other;
  if (needs_double(c) || other == DType::float64) {
    if (uniform) return launch(Instance<double, static_cast<int>(DType::float64)>());
    return launch(Instance<double, kMixed>());
  }
  if (!uniform) return launch(Instance<float, kMixed>());
  switch (other) {
    case DType::float32:
      return launch(Instance<float, static_cast<int>(DType::float32)>());
    case DType::bfloat16:
      return launch(Instance<float, static_cast<int>(DType::bfloat16)>());
    default:
      return launch(Instance<float, static_cast<int>(DType::float16)>());
  }
}

}  // namespace

cudaError_t affine(const Combination& combination, void* out, DType out_dtype, cudaStream_t stream) {
  unsigned grid = grid_of(units_of(combination) * combination.samples);
  select(combination, out_dtype, [&](auto instance) {
    using I = decltype(instance);
    affine_kernel<typename I::Real, I::kUniform><<<grid, kThreads, 0, stream>>>(combination, out, out_dtype);
  });
  return cudaGetLastError();
}

int64_t affine_regression_scratch(const Combination& target) {
  return units_of(target) * target.samples;
}

cudaError_t affine_regression(const Regression& regression, double* scratch, double* sums, cudaStream_t stream) {
  const Combination& target = regression.target;
  select(target, regression.velocity_dtype, [&](auto instance) {
    using I = decltype(instance);
    regression_kernel<typename I::Real, I::kUniform>
        <<<grid_of(units_of(target) * target.samples), kThreads, 0, stream>>>(regression, scratch);
  });
  if (cudaError_t status = cudaGetLastError(); status != cudaSuccess) return status;
  sum_rows<<<grid_of(target.samples), kThreads, 0, stream>>>(scratch, target.samples, units_of(target), sums);
  return cudaGetLastError();
}

}  // namespace eam::kernels::cuda
