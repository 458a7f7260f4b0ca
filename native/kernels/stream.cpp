#include "kernels/stream.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include "kernels/macros.h"

#ifdef EAM_X86_VECTORS
#include <immintrin.h>
#endif

namespace eam::kernels {

#ifdef EAM_X86_VECTORS
namespace {

// Whole lines; how many bytes of them.
__attribute__((target("avx512f"))) int64_t stream_lines(const char* from, char* to, int64_t bytes) {
  int64_t i = 0;
  for (; i + 64 <= bytes; i += 64)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_loadu_si512(from + i));
  return i;
}

// Quarters of lines, which the processor collects.
int64_t stream_quarters(const char* from, char* to, int64_t bytes) {
  int64_t i = 0;
  for (; i + 16 <= bytes; i += 16)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  return i;
}

}  // namespace
#endif

int64_t cache_bytes() {
  static const int64_t bytes = [] {
    // Not sysconf: on AMD's processors it adds up the caches of all cores.
    int64_t largest = 0;
    for (int index = 0; index < 8; ++index) {
      int64_t kibibytes = 0;
      std::ifstream("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size") >> kibibytes;
      largest = std::max(largest, 1024 * kibibytes);
    }
    return largest > 0 ? largest : int64_t{32} << 20;
  }();
  return bytes;
}

void stream(const void* from, void* to, int64_t bytes) {
  const char* source = static_cast<const char*>(from);
  char* target = static_cast<char*>(to);
  int64_t done = 0;
#ifdef EAM_X86_VECTORS
  static const bool has_avx512 = __builtin_cpu_supports("avx512f");
  const auto address = reinterpret_cast<uintptr_t>(target);
  if (has_avx512 && address % 64 == 0)
    done = stream_lines(source, target, bytes);
  else if (address % 16 == 0)
    done = stream_quarters(source, target, bytes);
#endif
  std::memcpy(target + done, source + done, static_cast<size_t>(bytes - done));
}

void finish_streams() {
#ifdef EAM_X86_VECTORS
  _mm_sfence();
#endif
}

}  // namespace eam::kernels
