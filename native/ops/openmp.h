#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

// The OpenMP runtime that LibTorch has loaded, without a compiler's OpenMP: clang's pragmas call another runtime than
// g++'s, and with it would come a second team of threads. GOMP_parallel is what g++ makes of `#pragma omp parallel`;
// GCC's runtime and LLVM's export it, and nothing here is linked with either.
extern "C" {
void GOMP_parallel(void (*body)(void*), void* argument, unsigned threads, unsigned flags);
int omp_get_thread_num();
int omp_get_num_threads();
int omp_get_max_threads();
void omp_set_num_threads(int);
}

namespace eam::ops {

// at::parallel_for: body(begin, end) over parts of [begin, end) of at least `grain` elements, on LibTorch's threads.
// One exception of the body's is thrown on when all have ended.
template <class Body>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const Body& body) {
  if (begin >= end) return;
  if (end - begin <= grain || at::get_num_threads() == 1 || at::in_parallel_region()) {
    const at::internal::ThreadIdGuard thread(0);
    const c10::ParallelGuard within(true);
    body(begin, end);
    return;
  }
  struct Share {
    int64_t begin, end, grain;
    const Body& body;
    std::atomic_flag failed = ATOMIC_FLAG_INIT;
    std::exception_ptr exception;

    void run() {
      const int64_t parts = (end - begin + grain - 1) / grain;
      const int64_t threads = std::min<int64_t>(omp_get_num_threads(), parts), number = omp_get_thread_num();
      const int64_t size = (end - begin + threads - 1) / threads, first = begin + number * size;
      if (first >= end) return;
      try {
        const at::internal::ThreadIdGuard thread(static_cast<int>(number));
        const c10::ParallelGuard within(true);
        body(first, std::min(end, first + size));
      } catch (...) {
        if (!failed.test_and_set()) exception = std::current_exception();
      }
    }
  };
  Share share{begin, end, std::max<int64_t>(grain, 1), body, ATOMIC_FLAG_INIT, nullptr};
  GOMP_parallel([](void* argument) { static_cast<Share*>(argument)->run(); }, &share, 0, 0);
  if (share.exception) std::rethrow_exception(share.exception);
}

}  // namespace eam::ops
