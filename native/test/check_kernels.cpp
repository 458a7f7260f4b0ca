// Checks the CPU kernels without LibTorch's operators: against kernels/reference.h, and every version of a loop that
// this processor runs against plain ones. Exits with 1 on a mismatch.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/affine.h"
#include "kernels/gelu.h"
#include "kernels/optimizer.h"
#include "kernels/philox.h"
#include "kernels/philox_words.h"
#include "kernels/reference.h"
#include "kernels/tile.h"
#include "ops/ops.h"
#include "test/check.h"

namespace {

using namespace eam::check;
using namespace eam::kernels;

// Every version that this processor runs, over a carry into the counter's high word.
void check_philox_versions() {
  constexpr int64_t kBlocks = 257;
  const uint64_t seed = 0x0123456789abcdef, stream = 0xfedcba9876543210, first = 0xffffff80;
  std::vector<std::pair<const char*, PhiloxWords>> versions = {{"portable", philox_words_portable}};
#ifdef EAM_X86_VECTORS
  if (__builtin_cpu_supports("avx2")) versions.push_back({"AVX2", philox_words_avx2});
  if (__builtin_cpu_supports("avx512f")) versions.push_back({"AVX-512", philox_words_avx512});
#endif
  for (const auto& [name, version] : versions) {
    std::vector<uint32_t> words[4];
    uint32_t* rows[4];
    for (int k = 0; k < 4; ++k) {
      words[k].resize(kBlocks + kPhiloxPadding);
      rows[k] = words[k].data();
    }
    version(seed, stream, first, kBlocks, rows);
    double wrong = 0;
    for (int64_t j = 0; j < kBlocks; ++j)
      for (int k = 0; k < 4; ++k)
        wrong +=
            words[k][static_cast<size_t>(j)] != philox_block(seed, stream, first + static_cast<uint64_t>(j)).word[k];
    report(std::string("philox words, ") + name, wrong, 0);
  }
}

// The bits of every version that this processor runs are those of plain loops, for what lies in and after whole
// vectors, and for every value a half can have.
template <class Storage>
void check_loop_versions(const char* storage) {
  using Real = tile::Real<Storage>;
  constexpr int64_t kCount = 1 << 16;
  const auto stored = [](uint32_t word) {
    Storage value;
    if constexpr (sizeof(Storage) == 2)
      value.bits = static_cast<uint16_t>(word);
    else
      value = static_cast<Storage>(static_cast<int32_t>(word)) * Storage(0x1p-31);
    return value;
  };
  std::vector<Storage> x[tile::kFused], v(kCount);
  std::vector<Real> y(kCount);
  uint32_t word = 1;
  const auto next = [&word] { return word = word * 1664525u + 1013904223u; };
  for (auto& values : x)
    for (int64_t i = 0; i < kCount; ++i) values.push_back(stored(next() >> 8));
  for (int64_t i = 0; i < kCount; ++i) {
    v[static_cast<size_t>(i)] = stored(static_cast<uint32_t>(i));  // all halves
    y[static_cast<size_t>(i)] = static_cast<Real>(static_cast<int32_t>(next())) * Real(0x1p-31);
  }
  const auto same = [](Storage a, Storage b) {
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the bits are what is compared
    return std::memcmp(&a, &b, sizeof a) == 0 || (widen(a) != widen(a) && widen(b) != widen(b));
  };

  for (auto version : {tile::Instructions::baseline, tile::Instructions::avx2, tile::Instructions::avx512}) {
    if (!tile::runs(version)) continue;
    double wrong = 0;
    for (int terms = 0; terms <= tile::kFused; ++terms) {
      tile::Fused<Storage> fused{
          terms, {x[0].data(), x[1].data(), x[2].data()}, {Real(0.75), Real(-1.5), Real(0.3)}, y.data(), Real(0.6)};
      const auto combined = [&](int64_t i) {
        Real sum = 0;
        for (int k = 0; k < terms; ++k) sum += fused.c[k] * static_cast<Real>(widen(fused.x[k][i]));
        return sum + fused.c_y * fused.y[i];
      };
      const Real scale = Real(1) / 3;
      for (int64_t n : {int64_t{1}, int64_t{15}, int64_t{37}, kCount - 3, kCount}) {
        std::vector<Storage> out(static_cast<size_t>(n)), grad(static_cast<size_t>(n));
        Real sums[tile::kLanes] = {}, expected_sums[tile::kLanes] = {};
        tile::store(fused, out.data(), n, version);
        tile::store_difference(fused, v.data(), scale, grad.data(), sums, n, version);
        for (int64_t i = 0; i < n; ++i) {
          const Real target = combined(i), difference = static_cast<Real>(widen(v[static_cast<size_t>(i)])) - target;
          Storage expected, expected_grad;
          narrow(target, &expected);
          narrow(scale * difference, &expected_grad);
          wrong += !same(out[static_cast<size_t>(i)], expected) + !same(grad[static_cast<size_t>(i)], expected_grad);
          expected_sums[i % tile::kLanes] += difference * difference;
        }
        for (int lane = 0; lane < tile::kLanes; ++lane)
          wrong += sums[lane] != expected_sums[lane] && sums[lane] == sums[lane];
      }
    }
    const char* const names[] = {"baseline", "AVX2", "AVX-512"};
    report(std::string("loops of ") + storage + ", " + names[static_cast<int>(version)], wrong, 0);
  }
}

void check_philox() {
  // Known answers of the Random123 distribution.
  struct {
    std::array<uint32_t, 4> counter;
    std::array<uint32_t, 2> key;
    std::array<uint32_t, 4> words;
  } const answers[] = {{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                       {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                       {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                        {0xa4093822, 0x299f31d0},
                        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
  double wrong = 0;
  for (const auto& answer : answers) wrong += eam::ops::philox_words(answer.counter, answer.key) != answer.words;
  report("philox4x32-10 known answers", wrong, 0);

  // Words around the ends, ½ and the quadrants, where a float version loses digits when it is careless.
  double log_error = 0, turn_error = 0, double_log_error = 0, double_turn_error = 0;
  for (uint64_t anchor = 0; anchor <= 0x100000000ull; anchor += 0x08000000ull)
    for (int64_t step = -4096; step <= 4096; ++step) {
      auto word = static_cast<uint32_t>(anchor + static_cast<uint64_t>(step));
      double u = uniform_of(word);
      double exact = u > 0.5 ? -std::log1p(-uniform_of(~word)) : -std::log(u);
      log_error = std::max(log_error, std::abs(minus_log_uniform(word) - exact) / exact);
      float cosine, sine;
      cos_sin_turn(word, &cosine, &sine);
      turn_error =
          std::max({turn_error, std::abs(cosine - std::cos(2 * M_PI * u)), std::abs(sine - std::sin(2 * M_PI * u))});
      double_log_error = std::max(double_log_error, std::abs(minus_log_uniform_double(word) - exact) / exact);
      double double_cosine, double_sine;
      cos_sin_turn(word, &double_cosine, &double_sine);
      long double turn = 2 * M_PIl * u;
      double_turn_error = std::max({double_turn_error, static_cast<double>(std::abs(double_cosine - std::cos(turn))),
                                    static_cast<double>(std::abs(double_sine - std::sin(turn)))});
    }
  report("float32 -log u, relative", log_error, 2e-7);
  report("float32 cos and sin of 2 pi u, absolute", turn_error, 1.5e-7);
  report("float64 -log u, relative", double_log_error, 4e-16);
  report("float64 cos and sin of 2 pi u, absolute", double_turn_error, 2.5e-16);
}

template <class Storage>
constexpr DType kDType = std::is_same_v<Storage, float>      ? DType::float32
                         : std::is_same_v<Storage, double>   ? DType::float64
                         : std::is_same_v<Storage, BFloat16> ? DType::bfloat16
                                                             : DType::float16;

// Normals of stream `stream`, as they are stored.
template <class Storage>
std::vector<Storage> numbers(int64_t count, uint64_t stream) {
  std::vector<Storage> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) narrow(reference::normal(3, stream, i), &values[static_cast<size_t>(i)]);
  return values;
}

// Combinations and regressions of one to five tensors, without noise, with one stream and with a stream a sample, of
// samples that begin within a block of the generator and that are longer than a tile.
template <class Storage>
void check_combinations(const char* storage, double bound) {
  const uint64_t streams[] = {11, 12, 13};
  for (const int64_t elements : {int64_t{7}, tile::kElements + 29})
    for (const int terms : {1, tile::kFused, 5})
      for (const int noise : {0, 1, 2}) {
        Combination y;
        y.samples = 3;
        y.elements = elements;
        y.terms = terms;
        const int64_t count = y.samples * elements;
        std::vector<std::vector<Storage>> tensors;
        std::vector<double> coefficients;
        for (int k = 0; k < terms; ++k) {
          tensors.push_back(numbers<Storage>(count, static_cast<uint64_t>(k) + 20));
          y.data[k] = tensors.back().data();
          y.dtype[k] = kDType<Storage>;
          for (int b = 0; b < 3; ++b) coefficients.push_back(0.25 * (k + 1) - 0.5 * b);
        }
        const double noise_coefficients[] = {0.5, -1.5, 0.75};
        y.coefficients = coefficients.data();
        y.noise_coefficients = noise == 0 ? nullptr : noise_coefficients;
        y.seed = 7;
        y.streams = streams;
        y.stream_per_sample = noise == 2;

        const std::vector<Storage> velocity = numbers<Storage>(count, 40);
        const double scale[] = {0.5, 1, 2};
        std::vector<Storage> out(velocity.size()), grad(velocity.size());
        const Regression loss{y, velocity.data(), kDType<Storage>, scale, grad.data()};
        double error = 0, grad_error = 0, sum = 0, expected_sum = 0;
        for (int64_t b = 0; b < 3; ++b) {
          affine(y, out.data(), kDType<Storage>, b, 0, elements);
          sum += affine_regression(loss, b, 0, elements);
          for (int64_t i = 0; i < elements; ++i) {
            const size_t at = static_cast<size_t>(b * elements + i);
            const double expected = reference::affine(y, b, i), difference = reference::difference(loss, b, i);
            error = std::max(error, std::abs(widen(out[at]) - expected) / std::max(1.0, std::abs(expected)));
            grad_error = std::max(grad_error, std::abs(widen(grad[at]) - scale[b] * difference) /
                                                  std::max(1.0, std::abs(scale[b] * difference)));
            expected_sum += difference * difference;
          }
        }
        const char* const drawn[] = {"no noise", "one stream", "a stream a sample"};
        const std::string where = std::string(" ") + storage + ", " + std::to_string(terms) + " terms of " +
                                  std::to_string(elements) + ", " + drawn[noise];
        report("affine" + where, error, bound);
        report("affine_regression, gradient" + where, grad_error, bound);
        report("affine_regression, sum" + where, std::abs(sum / expected_sum - 1), std::min(bound, 1e-5));
      }
}

void check_gelu() {
  std::vector<float> x, y, grad;
  for (int i = -20000; i <= 20000; ++i) x.push_back(static_cast<float>(i) * 1e-3f);
  const std::vector<float> upstream = numbers<float>(static_cast<int64_t>(x.size()), 50);
  y.resize(x.size());
  grad.resize(x.size());
  gelu(x.data(), y.data(), static_cast<int64_t>(x.size()));
  gelu_backward(x.data(), upstream.data(), grad.data(), static_cast<int64_t>(x.size()));
  double error = 0, grad_error = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = reference::gelu(x[i]), slope = upstream[i] * reference::gelu_derivative(x[i]);
    error = std::max(error, std::abs(y[i] - expected) / std::max(1.0, std::abs(expected)));
    grad_error = std::max(grad_error, std::abs(grad[i] - slope) / std::max(1.0, std::abs(slope)));
  }
  report("gelu", error, 1e-6);
  report("gelu_backward", grad_error, 2e-6);
}

void check_adamw() {
  constexpr int64_t kCount = 1000;
  std::vector<float> p = numbers<float>(kCount, 60), m = numbers<float>(kCount, 62), v = numbers<float>(kCount, 63);
  const std::vector<float> grad = numbers<float>(kCount, 61);
  for (float& square : v) square *= square;
  const AdamWScalars scalars{0.5f, 0.9f, 0.1f, 0.99f, 0.01f, 0.999f, 1e-2f, 1.5f, 1e-8f};
  std::vector<reference::AdamWElement> expected;
  for (size_t i = 0; i < p.size(); ++i) expected.push_back(reference::adamw(scalars, p[i], grad[i], m[i], v[i]));
  adamw(scalars, p.data(), grad.data(), m.data(), v.data(), kCount);
  double error = 0;
  for (size_t i = 0; i < p.size(); ++i)
    error = std::max({error, std::abs(p[i] - expected[i].parameter), std::abs(m[i] - expected[i].first_moment),
                      std::abs(v[i] - expected[i].second_moment)});
  report("adamw, parameter and moments", error, 2e-6);
}

}  // namespace

int main() {
  return run_checks([] {
    check_philox();
    check_philox_versions();
    check_loop_versions<float>("float32");
    check_loop_versions<double>("float64");
    check_loop_versions<BFloat16>("bfloat16");
    check_loop_versions<Float16>("float16");
    check_combinations<float>("float32", 2e-6);
    check_combinations<double>("float64", 1e-13);
    check_combinations<BFloat16>("bfloat16", 0x1p-8);
    check_combinations<Float16>("float16", 0x1p-10);
    check_gelu();
    check_adamw();
  });
}
