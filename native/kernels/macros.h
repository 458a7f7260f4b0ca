#pragma once

// One source of math for the C++ compiler and for nvcc.
#if defined(__CUDACC__)
#define EAM_HD __host__ __device__ __forceinline__
#define EAM_UNROLL _Pragma("unroll")
#else
#define EAM_HD inline __attribute__((always_inline))
#define EAM_UNROLL _Pragma("GCC unroll 16")
#endif

// The iterations of the loop that follows do not touch each other's elements, though its arrays may be the same one:
// results may be written over an input, which __restrict would deny.
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define EAM_INDEPENDENT _Pragma("GCC ivdep")
#else
#define EAM_INDEPENDENT
#endif

// Vector instructions by name, for a function marked with their target.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__CUDACC__)
#define EAM_X86_VECTORS
#endif

// A loop compiled for several instruction sets; the dynamic linker picks one. With -ffp-contract=off all of them
// give the same bits. Clang can from 14 on. The function is declared nowhere before its definition: clang 14 would
// compile it for the first of the sets alone.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__CUDACC__) && \
    (!defined(__clang__) || __clang_major__ >= 14)
#define EAM_MULTIVERSION __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EAM_MULTIVERSION
#endif
