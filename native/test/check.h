#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <cstdio>
#include <functional>
#include <string>

#include "ops/error.h"

#ifdef EAM_WITH_CUDA
#include <c10/cuda/CUDAFunctions.h>
#include <dlfcn.h>
#endif

// A table of comparisons, for the programs that check numbers.
namespace eam::check {

inline int failures = 0;

// One row of the table. error and bound are relative to the largest value compared.
inline void report(const std::string& what, double error, double bound) {
  bool passed = error <= bound;  // false for NaN
  failures += !passed;
  std::printf("%-66s %10.2e  %9.1e  %s\n", what.c_str(), error, bound, passed ? "ok" : "MISMATCH");
  std::fflush(stdout);
}

inline double error_of(const at::Tensor& found, const at::Tensor& expected) {
  at::Tensor a = found.cpu().to(at::kDouble), b = expected.cpu().to(at::kDouble);
  double scale = b.abs().max().item<double>();
  double error = (a - b).abs().max().item<double>();
  return scale > 0 ? error / scale : error;
}

inline bool has_cuda() {
#ifdef EAM_WITH_CUDA
  return c10::cuda::device_count() > 0;
#else
  return false;
#endif
}

// Opened here and not linked, so that the CPU checks run where LibTorch's CUDA libraries are not installed; before any
// operator, because LibTorch looks for its CUDA side once.
inline void open_cuda() {
#ifdef EAM_WITH_CUDA
  if (has_cuda() && !dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) throw Error(ErrorKind::config, dlerror());
#endif
}

// main() of such a program: its exit code.
inline int run_checks(const std::function<void()>& checks) {
  std::printf("%-66s %10s  %9s\n", "check", "error", "bound");
  try {
    open_cuda();
    checks();
  } catch (const std::exception& error) {
    std::printf("failed: %s\n", error.what());
    return 1;
  }
  std::printf("\n%s\n", failures ? (std::to_string(failures) + " mismatches").c_str() : "all checks passed");
  std::fflush(stdout);  // what a crash at the end of the process would lose in a pipe
  return failures ? 1 : 0;
}

}  // namespace eam::check
