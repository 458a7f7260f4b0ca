#pragma once

#include "ops/openmp.h"

namespace eam::addon {

// While it lives, operators on this thread start no threads: a second team beside the executor's would make both wait
// for each other's cores. The number is OpenMP's own, which keeps one for each thread, so nothing else changes.
class OneThread {
 public:
  OneThread() {
    at::internal::lazy_init_num_threads();  // would overwrite the number later
    before_ = omp_get_max_threads();
    omp_set_num_threads(1);
  }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace eam::addon
