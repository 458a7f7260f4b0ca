#pragma once

#include <ATen/record_function.h>

#include <algorithm>
#include <cstdint>

#include "ops/openmp.h"

namespace eam::ops {

// Samples are cut into chunks of this many elements, whatever the number of threads: a chunk's partial sum, and so
// the loss, is the same for any of them.
constexpr int64_t kChunk = 16384;

inline int64_t chunks_of(int64_t elements) {
  return (elements + kChunk - 1) / kChunk;
}

// body(sample, begin, end, unit) for every chunk of every sample, on LibTorch's threads; unit counts the chunks.
template <class Body>
void for_each_chunk(int64_t samples, int64_t elements, const Body& body) {
  RECORD_FUNCTION_WITH_SCOPE(at::RecordScope::USER_SCOPE, "eam::kernel",
                             c10::ArrayRef<const c10::IValue>{});  // seen by LibTorch's profiler
  int64_t chunks = chunks_of(elements);
  int64_t grain = std::max<int64_t>(1, kChunk / std::min(elements, kChunk));
  parallel_for(0, samples * chunks, grain, [&](int64_t first, int64_t last) {
    for (int64_t unit = first; unit < last; ++unit) {
      int64_t begin = unit % chunks * kChunk;
      body(unit / chunks, begin, std::min(begin + kChunk, elements), unit);
    }
  });
}

}  // namespace eam::ops
