#pragma once

#include <cstdint>

#include "kernels/macros.h"

// Many Philox blocks at once. Compilers make poor use of the 32 × 32 → 64 bit multiplier in a vector loop (five times
// slower than below with GCC 12 and AVX-512), so this one loop has versions of its own; all give the same words.
namespace eam::kernels {

constexpr int64_t kPhiloxPadding = 32;  // room that the versions below may use beyond the last block

// words[k][j] = word k of block first + j, j < blocks; the arrays have room for blocks + kPhiloxPadding.
using PhiloxWords = void (*)(uint64_t seed, uint64_t stream, uint64_t first, int64_t blocks, uint32_t* const words[4]);

void philox_words_portable(uint64_t seed, uint64_t stream, uint64_t first, int64_t blocks, uint32_t* const words[4]);
#ifdef EAM_X86_VECTORS
void philox_words_avx2(uint64_t seed, uint64_t stream, uint64_t first, int64_t blocks, uint32_t* const words[4]);
void philox_words_avx512(uint64_t seed, uint64_t stream, uint64_t first, int64_t blocks, uint32_t* const words[4]);
#endif

// The fastest that this processor runs.
PhiloxWords fastest_philox_words();

}  // namespace eam::kernels
