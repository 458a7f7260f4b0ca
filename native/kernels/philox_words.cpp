#include "kernels/philox_words.h"

#include "kernels/philox.h"

#ifdef EAM_X86_VECTORS
#include <immintrin.h>
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 on its own headers (bug 105593)
#endif
#endif

namespace eam::kernels {

void philox_words_portable(uint64_t seed, uint64_t stream, uint64_t first, int64_t blocks, uint32_t* const words[4]) {
  for (int64_t j = 0; j < blocks; ++j) {
    PhiloxBlock block = philox_block(seed, stream, first + static_cast<uint64_t>(j));
    for (int k = 0; k < 4; ++k) words[k][j] = block.word[k];
  }
}

#ifdef EAM_X86_VECTORS

// A block a 64-bit lane, each word in the low half of its lane: the multiplication reads nothing else, so what it
// leaves in the upper half is never cleared. Four vectors in flight hide its latency.

namespace {
constexpr int kUnroll = 4;
}

__attribute__((target("avx512f"))) void philox_words_avx512(uint64_t seed, uint64_t stream, uint64_t first,
                                                            int64_t blocks, uint32_t* const words[4]) {
  const __m512i multiplier0 = _mm512_set1_epi64(0xD2511F53), multiplier1 = _mm512_set1_epi64(0xCD9E8D57);
  const __m512i lanes = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i low_halves = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  uint64_t keys[10][2];  // read from memory as operands, they cost no instruction
  for (uint32_t round = 0; round < 10; ++round) {
    keys[round][0] = static_cast<uint32_t>(seed) + round * 0x9E3779B9u;
    keys[round][1] = static_cast<uint32_t>(seed >> 32) + round * 0xBB67AE85u;
  }
  for (int64_t j = 0; j < blocks; j += 8 * kUnroll) {
    __m512i c0[kUnroll], c1[kUnroll], c2[kUnroll], c3[kUnroll];
    for (int i = 0; i < kUnroll; ++i) {
      c0[i] =
          _mm512_add_epi64(_mm512_set1_epi64(static_cast<int64_t>(first + static_cast<uint64_t>(j + 8 * i))), lanes);
      c1[i] = _mm512_srli_epi64(c0[i], 32);
      c2[i] = _mm512_set1_epi64(static_cast<int64_t>(stream));
      c3[i] = _mm512_srli_epi64(c2[i], 32);
    }
    for (int round = 0; round < 10; ++round) {
      const __m512i k0 = _mm512_set1_epi64(static_cast<int64_t>(keys[round][0]));
      const __m512i k1 = _mm512_set1_epi64(static_cast<int64_t>(keys[round][1]));
      for (int i = 0; i < kUnroll; ++i) {
        const __m512i product0 = _mm512_mul_epu32(c0[i], multiplier0), product1 = _mm512_mul_epu32(c2[i], multiplier1);
        c0[i] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(product1, 32), c1[i], k0, 0x96);  // a ^ b ^ c
        c2[i] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(product0, 32), c3[i], k1, 0x96);
        c1[i] = product1;
        c3[i] = product0;
      }
    }
    for (int i = 0; i < kUnroll; i += 2) {
      const __m512i block[4][2] = {{c0[i], c0[i + 1]}, {c1[i], c1[i + 1]}, {c2[i], c2[i + 1]}, {c3[i], c3[i + 1]}};
      for (int k = 0; k < 4; ++k)
        _mm512_storeu_si512(words[k] + j + 8 * i, _mm512_permutex2var_epi32(block[k][0], low_halves, block[k][1]));
    }
  }
}

__attribute__((target("avx2"))) void philox_words_avx2(uint64_t seed, uint64_t stream, uint64_t first, int64_t blocks,
                                                       uint32_t* const words[4]) {
  const __m256i multiplier0 = _mm256_set1_epi64x(0xD2511F53), multiplier1 = _mm256_set1_epi64x(0xCD9E8D57);
  const __m256i lanes = _mm256_set_epi64x(3, 2, 1, 0);
  const __m256i low_halves = _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0);
  // Two vectors: more would not fit in the sixteen registers.
  for (int64_t j = 0; j < blocks; j += 8) {
    __m256i c0[2], c1[2], c2[2], c3[2];
    for (int i = 0; i < 2; ++i) {
      c0[i] =
          _mm256_add_epi64(_mm256_set1_epi64x(static_cast<int64_t>(first + static_cast<uint64_t>(j + 4 * i))), lanes);
      c1[i] = _mm256_srli_epi64(c0[i], 32);
      c2[i] = _mm256_set1_epi64x(static_cast<int64_t>(stream));
      c3[i] = _mm256_srli_epi64(c2[i], 32);
    }
    auto key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
      const __m256i k0 = _mm256_set1_epi64x(key0), k1 = _mm256_set1_epi64x(key1);
      for (int i = 0; i < 2; ++i) {
        const __m256i product0 = _mm256_mul_epu32(c0[i], multiplier0), product1 = _mm256_mul_epu32(c2[i], multiplier1);
        c0[i] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(product1, 32), c1[i]), k0);
        c2[i] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(product0, 32), c3[i]), k1);
        c1[i] = product1;
        c3[i] = product0;
      }
    }
    for (int i = 0; i < 2; ++i) {
      const __m256i block[4] = {c0[i], c1[i], c2[i], c3[i]};
      for (int k = 0; k < 4; ++k)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(words[k] + j + 4 * i),
                         _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(block[k], low_halves)));
    }
  }
}

#endif

PhiloxWords fastest_philox_words() {
#ifdef EAM_X86_VECTORS
  if (__builtin_cpu_supports("avx512f")) return philox_words_avx512;
  if (__builtin_cpu_supports("avx2")) return philox_words_avx2;
#endif
  return philox_words_portable;
}

}  // namespace eam::kernels
