// Checks on a GPU what only large tensors reach: offsets past 2^31 and 2^32 elements, and the second pass of loops that
// stride over the grid. Exits with 1 on a mismatch. A tensor of 4.3 GB is compared in slices, with numbers that the CPU
// generates from their place in the stream; sizes for which the device has no memory are left out, and said to be.
#include "test/check.h"

#ifdef EAM_WITH_CUDA

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/optimizer.h"
#include "kernels/philox.h"
#include "ops/ops.h"

namespace {

using namespace eam::check;
using namespace eam::ops;

constexpr double kBFloat16 = 0x1p-8;  // one rounding of the storage
constexpr uint64_t kSeed = 7;
constexpr double kC = 0.8;

// Elements begin … begin + count of a stream, in bfloat16 as a kernel stores them.
at::Tensor stream_slice(uint64_t stream, int64_t begin, int64_t count) {
  at::Tensor values = at::empty({1, count}, at::kDouble);
  double* out = values.mutable_data_ptr<double>();
  for (int64_t i = 0; i < count; ++i) {
    double four[4];
    const auto element = static_cast<uint64_t>(begin + i);
    eam::kernels::philox_normals(kSeed, stream, element / 4, four);
    out[i] = four[element % 4];
  }
  return values.to(at::kBFloat16);
}

// The places where an index that is too narrow would wrap, both ends, and every sample's.
std::vector<int64_t> slice_starts(int64_t samples, int64_t elements, int64_t length) {
  const int64_t total = samples * elements;
  std::vector<int64_t> starts;
  for (int64_t sample = 0; sample < samples; ++sample) {
    starts.push_back(sample * elements);
    starts.push_back((sample + 1) * elements - length);
  }
  for (int64_t power : {int64_t{1} << 31, int64_t{1} << 32})
    for (int64_t sample = 0; sample < samples; ++sample) {
      // A slice belongs to one sample, which has coefficients of its own.
      const int64_t start = power - length / 2;
      if (start >= sample * elements && start + length <= std::min((sample + 1) * elements, total))
        starts.push_back(start);
    }
  return starts;
}

void check_large(int64_t samples, int64_t elements) {
  constexpr int64_t kLength = 4098;
  const int64_t total = samples * elements;
  const std::string where = " " + std::to_string(samples) + "x" + std::to_string(elements);
  size_t free = 0, all = 0;
  cudaMemGetInfo(&free, &all);
  const double needed = 4.1 * 2.0 * static_cast<double>(total);  // velocity, endpoint, G, gradient
  if (static_cast<double>(free) < needed) {
    std::printf("bfloat16%s: left out, it needs %.1f GB and the device has %.1f GB free\n", where.c_str(), needed / 1e9,
                static_cast<double>(free) / 1e9);
    return;
  }
  const std::vector<int64_t> starts = slice_starts(samples, elements, kLength);
  std::vector<double> t;
  std::vector<uint64_t> streams;
  for (int64_t b = 0; b < samples; ++b) {
    t.push_back(0.3 + 0.4 * static_cast<double>(b) / static_cast<double>(samples));
    streams.push_back(40 + static_cast<uint64_t>(b));
  }
  auto tensor = [&](uint64_t stream) {
    return philox_normal({samples, elements}, {kSeed, {stream}}, at::kBFloat16, at::kCUDA);
  };
  auto found = [&](const at::Tensor& large, int64_t start) {
    return large.view({-1}).narrow(0, start, kLength).view({1, -1});
  };
  const at::Tensor x1 = tensor(1);
  at::Tensor out = at::empty_like(x1);
  double drawn = 0;
  for (int64_t start : starts) drawn = std::max(drawn, error_of(found(x1, start), stream_slice(1, start, kLength)));
  report("philox_normal bfloat16" + where, drawn, kBFloat16);

  for (bool per_sample : {false, true}) {
    const Noise noise{std::nullopt, {kSeed, per_sample ? streams : std::vector<uint64_t>{4}}};
    auto noise_of = [&](int64_t start) {
      const int64_t sample = start / elements;
      const at::Tensor values =
          per_sample ? stream_slice(streams[static_cast<size_t>(sample)], start - sample * elements, kLength)
                     : stream_slice(4, start, kLength);
      return Noise{values, {}};
    };
    auto time_of = [&](int64_t start) { return std::vector<double>{t[static_cast<size_t>(start / elements)]}; };
    const std::string with = where + (per_sample ? " noise=streams" : " noise=stream");

    renoise(x1, t, noise, 1, out);
    double renoised = 0;
    for (int64_t start : starts)
      renoised = std::max(renoised, error_of(found(out, start), renoise(stream_slice(1, start, kLength), time_of(start),
                                                                        noise_of(start))));
    report("renoise bfloat16" + with, renoised, 4 * kBFloat16);

    const at::Tensor velocity = tensor(2), gradient = tensor(3);
    const Loss loss = matching_loss(velocity, x1, gradient, t, noise, {kC}, out);
    double error = 0;
    for (int64_t start : starts) {
      const Loss slice = matching_loss(stream_slice(2, start, kLength), stream_slice(1, start, kLength),
                                       stream_slice(3, start, kLength), time_of(start), noise_of(start), {kC});
      // A gradient is divided by the elements of its tensor.
      const double scale = static_cast<double>(kLength) / static_cast<double>(total);
      error = std::max(error, error_of(found(out, start), slice.grad.to(at::kDouble) * scale));
    }
    // Inputs of the slices' noise are rounded to the storage, the kernel's are not.
    report("matching gradient bfloat16" + with, error, 4 * kBFloat16);

    // The CPU would take minutes for all of it. Velocity and target are independent normals, so the mean of their
    // squared difference is 1 + the target's variance, to 1 in √(elements/2).
    double worst = 0;
    for (int64_t b = 0; b < samples; ++b) {
      const auto target = eam::kernels::noise_target_coefficients(t[static_cast<size_t>(b)], kC, 1);
      const double expected =
          1 + target.endpoint * target.endpoint + target.gradient * target.gradient + target.noise * target.noise;
      worst = std::max(worst, std::abs(static_cast<double>(loss.per_sample[static_cast<size_t>(b)]) / expected - 1));
    }
    report("matching loss bfloat16" + with + ", in law", worst, 5e-4);
  }
}

// More samples than a grid has blocks: the affine and regression kernels and the rows of their sums go round again.
void check_second_pass() {
  const int64_t samples = (int64_t{1} << 20) + 5, elements = 9;
  std::vector<double> t(static_cast<size_t>(samples));
  std::vector<uint64_t> streams(static_cast<size_t>(samples));
  for (size_t b = 0; b < t.size(); ++b) {
    t[b] = 0.1 + 0.8 * static_cast<double>(b) / static_cast<double>(samples);
    streams[b] = 1000 + b;
  }
  const Noise noise{std::nullopt, {kSeed, streams}};
  auto tensor = [&](uint64_t stream) {
    return philox_normal({samples, elements}, {kSeed, {stream}}, at::kFloat, at::kCPU);
  };
  const at::Tensor velocity = tensor(1), x1 = tensor(2), gradient = tensor(3);
  auto cuda = [](const at::Tensor& on_cpu) { return on_cpu.to(at::kCUDA); };
  report("renoise, second pass over the grid", error_of(renoise(cuda(x1), t, noise), renoise(x1, t, noise)), 2e-6);
  const Loss expected = matching_loss(velocity, x1, gradient, t, noise, {kC});
  const Loss found = matching_loss(cuda(velocity), cuda(x1), cuda(gradient), t, noise, {kC});
  report("matching gradient, second pass", error_of(found.grad, expected.grad), 2e-6);
  report("matching losses, second pass", error_of(at::tensor(found.per_sample), at::tensor(expected.per_sample)), 2e-6);
}

// More pieces than a grid has blocks. Whole pieces would take 64 GB; the kernels take any size up to one.
void check_optimizer_second_pass() {
  using namespace eam::kernels;
  const int64_t pieces = (int64_t{1} << 20) + 7, each = 5;
  std::vector<at::Tensor> cpu, device;
  for (uint64_t stream = 1; stream <= 4; ++stream) {
    cpu.push_back(philox_normal({pieces * each}, {kSeed, {stream}}, at::kFloat, at::kCPU));
    if (stream == 4) cpu.back() = cpu.back().square();
    device.push_back(cpu.back().to(at::kCUDA));
  }
  auto pointer = [&](size_t k) { return device[k].mutable_data_ptr<float>(); };
  std::vector<cuda::Piece> table(static_cast<size_t>(pieces));
  for (int64_t p = 0; p < pieces; ++p) {
    const int64_t at = p * each;
    table[static_cast<size_t>(p)] = {pointer(0) + at, pointer(1) + at, pointer(2) + at, pointer(3) + at, each};
  }
  const auto bytes = static_cast<int64_t>(table.size() * sizeof(cuda::Piece));
  const at::Tensor on_device = at::from_blob(table.data(), {bytes}, at::kByte).to(at::kCUDA);
  const auto* rows = static_cast<const cuda::Piece*>(on_device.const_data_ptr());
  const AdamWScalars scalars{0.5f, 0.9f, 0.1f, 0.99f, 0.01f, 0.999f, 0.01f, 1.5f, 1e-8f};
  auto check = [](cudaError_t status) {
    if (status != cudaSuccess) throw eam::Error(eam::ErrorKind::config, cudaGetErrorString(status));
  };
  check(cuda::adamw(scalars, rows, pieces, nullptr));
  adamw(scalars, cpu[0].mutable_data_ptr<float>(), cpu[1].const_data_ptr<float>(), cpu[2].mutable_data_ptr<float>(),
        cpu[3].mutable_data_ptr<float>(), pieces * each);
  double error = 0;
  for (size_t k : {0, 2, 3}) error = std::max(error, error_of(device[k], cpu[k]));
  report("adamw, second pass over the grid", error, 2e-6);

  const at::Tensor sum = at::empty({1}, device[0].options().dtype(at::kDouble)),
                   scratch = at::empty({pieces}, sum.options());
  check(cuda::sum_squares(rows, pieces, scratch.mutable_data_ptr<double>(), sum.mutable_data_ptr<double>(), nullptr));
  report("sum of squares, second pass", error_of(sum, cpu[0].to(at::kDouble).square().sum().view({1})), 2e-6);

  check(cuda::ema(0.9f, rows, pieces, nullptr));
  ema(0.9f, cpu[0].mutable_data_ptr<float>(), cpu[1].const_data_ptr<float>(), pieces * each);
  report("ema, second pass", error_of(device[0], cpu[0]), 2e-6);
}

void check_sizes() {
  if (!has_cuda()) {
    std::puts("large tensors on CUDA: skipped, no device here");
    return;
  }
  check_second_pass();
  check_optimizer_second_pass();
  const std::vector<std::pair<int64_t, int64_t>> sizes = {
      {1, (int64_t{1} << 31) + 4099}, {3, (int64_t{1} << 30) + 4099}, {1, (int64_t{1} << 32) + 4099}};
  for (const auto& [samples, elements] : sizes) {
    check_large(samples, elements);
    c10::cuda::CUDACachingAllocator::emptyCache();
  }
}

}  // namespace

int main() {
  return run_checks(check_sizes);
}

#else

int main() {
  std::puts("large tensors on CUDA: skipped, this is the cpu variant");
}

#endif
