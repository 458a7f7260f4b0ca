#pragma once

// One source of math for the C++ compiler and for nvcc.
#if defined(__CUDACC__)
#define EAM_HD __host__ __device__ __forceinline__
#define EAM_UNROLL _Pragma("unroll")
#else
#define EAM_HD inline __attribute__((always_inline))
#define EAM_UNROLL _Pragma("GCC unroll 16")
#endif

// A loop compiled for several instruction sets; the dynamic linker picks one. With -ffp-contract=off all of them
// give the same bits.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define EAM_MULTIVERSION __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EAM_MULTIVERSION
#endif
