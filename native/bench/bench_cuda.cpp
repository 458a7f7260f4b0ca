// Measures the bandwidth of the CUDA kernels against a copy on the device, in turns, and prints CSV. The bar: at least
// 85 % of the copy's bandwidth for every kernel that moves tensors. Each is said on stderr; exits with 1 where one
// misses.
#include <cstdio>

#ifdef EAM_WITH_CUDA

#include <ATen/Parallel.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "kernels/affine.h"
#include "kernels/optimizer.h"
#include "test/device_array.h"

namespace {

using namespace eam::check;
using namespace eam::kernels;
using eam::bench::Row;

constexpr double kBar = 0.85;
constexpr int64_t kSamples = 8;
constexpr int kRounds = 30, kLaunches = 5;  // launches are timed together: an event costs some microseconds

int missed = 0;

// Seconds of one launch.
double seconds(const std::function<void()>& launch) {
  static cudaEvent_t begin = nullptr, end = nullptr;
  if (!begin) {
    check(cudaEventCreate(&begin), "cudaEventCreate");
    check(cudaEventCreate(&end), "cudaEventCreate");
  }
  check(cudaEventRecord(begin), "cudaEventRecord");
  for (int i = 0; i < kLaunches; ++i) launch();
  check(cudaEventRecord(end), "cudaEventRecord");
  check(cudaEventSynchronize(end), "cudaEventSynchronize");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
  return 1e-3 * milliseconds / kLaunches;
}

struct Kernel {
  const char* name;
  double tensors;  // read and written
  bool judged;
  std::function<void()> launch;
};

void measure(const char* dtype, int64_t elements, double tensor_bytes, const std::function<void()>& copy,
             const std::vector<Kernel>& kernels) {
  std::vector<std::vector<double>> ours(kernels.size()), copies(kernels.size()), shares(kernels.size());
  for (int round = -2; round < kRounds; ++round)
    for (size_t i = 0; i < kernels.size(); ++i) {
      const double copied = 2 * tensor_bytes / seconds(copy) / 1e9;
      const double moved = kernels[i].tensors * tensor_bytes / seconds(kernels[i].launch) / 1e9;
      if (round < 0) continue;  // the clocks rise, and code is loaded
      ours[i].push_back(moved);
      copies[i].push_back(copied);
      shares[i].push_back(moved / copied);
    }
  for (size_t i = 0; i < kernels.size(); ++i) {
    Row row{"cuda", kernels[i].name, "ours", dtype, elements};
    print_row(row, ours[i], "GB/s");
    row.variant = "copy";
    print_row(row, copies[i], "GB/s");
    row.variant = kernels[i].judged ? "of the copy" : "of the copy; not judged";
    print_row(row, shares[i], "share");
    const double share = eam::bench::quantile(shares[i], 0.5);
    const bool below = kernels[i].judged && share < kBar;
    missed += below;
    std::fprintf(stderr, "%-34s %-9s %7.1f %% of a copy's bandwidth  %s\n", kernels[i].name, dtype, 100 * share,
                 !kernels[i].judged ? "not judged: it only writes, arithmetic bounds it"
                 : below            ? "BELOW THE BAR"
                                    : "ok");
  }
}

struct Storage {
  DType dtype;
  const char* name;
  int64_t bytes;
};

void measure_tensors(const Storage& storage, int64_t least_bytes) {
  const int64_t elements = std::max(int64_t{1} << 27, least_bytes / storage.bytes) / kSamples / 8 * 8;
  const auto bytes = static_cast<size_t>(kSamples * elements * storage.bytes);
  std::deque<DeviceArray<unsigned char>> tensors;
  for (int k = 0; k < 5; ++k) tensors.emplace_back(bytes);
  auto data = [&](size_t k) { return static_cast<void*>(tensors[k].get()); };
  const DeviceArray<double> coefficients(std::vector<double>(3 * kSamples, 0.5));
  const DeviceArray<uint64_t> streams(std::vector<uint64_t>{2});
  auto combination = [&](int terms, bool noise) {
    Combination c;
    c.samples = kSamples;
    c.elements = elements;
    c.terms = terms;
    for (int k = 0; k < terms; ++k) {
      c.data[k] = data(static_cast<size_t>(k));
      c.dtype[k] = storage.dtype;
    }
    c.coefficients = coefficients.get();
    c.noise_coefficients = noise ? coefficients.get() : nullptr;
    c.seed = 1;
    c.streams = streams.get();
    return c;
  };
  auto affine_into = [&](size_t out, int terms, bool noise) {
    return [&, out, c = combination(terms, noise)] {
      check(cuda::affine(c, data(out), storage.dtype, nullptr), "affine");
    };
  };
  for (size_t k = 0; k < 5; ++k) affine_into(k, 0, true)();
  const DeviceArray<double> sums(kSamples),
      scratch(static_cast<size_t>(cuda::affine_regression_scratch(combination(3, false))));
  auto regression = [&](int terms, bool noise) {
    Regression r;
    r.target = combination(terms, noise);
    r.velocity = data(3);
    r.velocity_dtype = storage.dtype;
    r.grad_scale = coefficients.get();
    r.grad = data(4);
    return [&, r] { check(cuda::affine_regression(r, scratch.get(), sums.get(), nullptr), "affine_regression"); };
  };
  measure(
      storage.name, kSamples * elements, static_cast<double>(bytes),
      [&] { check(cudaMemcpyAsync(data(4), data(0), bytes, cudaMemcpyDeviceToDevice, nullptr), "cudaMemcpyAsync"); },
      {{"philoxNormal", 1, false, affine_into(4, 0, true)},
       {"renoise", 2, true, affine_into(4, 1, true)},
       {"memorylessStep", 3, true, affine_into(4, 2, true)},
       {"leanAdjointStep", 3, true, affine_into(4, 2, false)},
       {"terminalGradient", 4, true, affine_into(4, 3, false)},
       {"matchingLoss from x_t", 5, true, regression(3, false)},
       {"matchingLoss drawing noise", 4, true, regression(2, true)}});
}

void measure_optimizer(int64_t least_bytes) {
  const int64_t elements = std::max(int64_t{1} << 27, least_bytes / 4) / cuda::kPiece * cuda::kPiece;
  std::deque<DeviceArray<float>> tensors;
  for (int k = 0; k < 4; ++k) {
    tensors.emplace_back(static_cast<size_t>(elements));
    check(cudaMemset(tensors.back().get(), 0, tensors.back().bytes()), "cudaMemset");
  }
  std::vector<cuda::Piece> table;
  for (int64_t at = 0; at < elements; at += cuda::kPiece)
    table.push_back(
        {tensors[0].get() + at, tensors[1].get() + at, tensors[2].get() + at, tensors[3].get() + at, cuda::kPiece});
  const DeviceArray<cuda::Piece> pieces(table);
  const auto count = static_cast<int64_t>(table.size());
  const DeviceArray<double> scratch(table.size()), sum(1);
  const AdamWScalars scalars{1, 0.9f, 0.1f, 0.99f, 0.01f, 0.999f, 0.01f, 1.5f, 1e-8f};
  const size_t bytes = tensors[0].bytes();
  measure("float32", elements, static_cast<double>(bytes),
          [&] {
            check(cudaMemcpyAsync(tensors[3].get(), tensors[0].get(), bytes, cudaMemcpyDeviceToDevice, nullptr),
                  "cudaMemcpyAsync");
          },
          {{"AdamW", 7, true, [&] { check(cuda::adamw(scalars, pieces.get(), count, nullptr), "adamw"); }},
           {"moving average", 3, true, [&] { check(cuda::ema(0.9f, pieces.get(), count, nullptr), "ema"); }},
           {"gradient norm", 1, true,
            [&] { check(cuda::sum_squares(pieces.get(), count, scratch.get(), sum.get(), nullptr), "sum_squares"); }}});
}

void run() {
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  std::fprintf(stderr, "%s, compute capability %d.%d, CUDA %d.%d (driver's %d.%d), L2 cache %.0f MB\n", device.name,
               device.major, device.minor, runtime / 1000, runtime % 1000 / 10, driver / 1000, driver % 1000 / 10,
               device.l2CacheSize / 1e6);
  at::set_num_threads(1);  // the column; nothing here runs on the CPU
  eam::bench::print_header();
  const int64_t least_bytes = 8 * static_cast<int64_t>(device.l2CacheSize);
  for (const Storage& storage : {Storage{DType::float32, "float32", 4}, Storage{DType::bfloat16, "bfloat16", 2},
                                 Storage{DType::float16, "float16", 2}})
    measure_tensors(storage, least_bytes);
  measure_optimizer(least_bytes);
}

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::fputs("CUDA bandwidth: skipped, no device here\n", stderr);
    return 0;
  }
  try {
    run();
    if (missed)
      std::fprintf(stderr, "%d kernels are below %.0f %% of a copy's bandwidth\n", missed, 100 * kBar);
    else
      std::fprintf(stderr, "every kernel reaches %.0f %% of a copy's bandwidth\n", 100 * kBar);
    return missed ? 1 : 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "CUDA bandwidth: failed: %s\n", error.what());
    return 1;
  }
}

#else

int main() {
  std::fputs("CUDA bandwidth: skipped, this is the cpu variant\n", stderr);
}

#endif
