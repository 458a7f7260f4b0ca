// Measures the kernels without Node against the same math composed from LibTorch's operators, against copying the same
// bytes and against the bare generator, and prints CSV. Arguments: --quick (seconds; numbers that
// mean little) or --elements N (of one sample: this size alone).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "kernels/schedule.h"
#include "kernels/tile.h"
#include "ops/openmp.h"
#include "ops/ops.h"

namespace {

using namespace eam;
using bench::Budget;
using bench::Row;
using bench::Variant;

constexpr int64_t kSamples = 8;

// A comparison holds at most half of the machine's memory: LibTorch's temporaries are in it.
double most_bytes() {
  return 0.5 * static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

struct Settings {
  std::vector<int64_t> sizes, operation_sizes;  // elements of one sample
  std::vector<int> threads;
  int64_t parameters;
  Budget budget;
};

const Settings kFull{
    {250, 2048, 16384, 262144, 2097152, 12500000}, {250, 262144, 2097152}, {1, 2}, 20000000, {0.6, 5, 2000}};
const Settings kQuick{{250, 16384}, {250}, {1, 2}, 100000, {0.02, 3, 20}};

const char* name_of(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kBFloat16:
      return "bfloat16";
    default:
      return "float16";
  }
}

const at::ScalarType kTypes[] = {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf};

// Copies `bytes` on LibTorch's threads, through as many tensors as the kernel it stands for touches.
class Copies {
 public:
  void add(const at::Tensor& from, const at::Tensor& to) { pairs_.push_back({from, to}); }
  void operator()() const {
    for (const auto& [from, to] : pairs_) {
      const char* source = static_cast<const char*>(from.const_data_ptr());
      char* target = static_cast<char*>(to.mutable_data_ptr());
      ops::parallel_for(0, static_cast<int64_t>(from.nbytes()), 65536, [&](int64_t begin, int64_t end) {
        std::memcpy(target + begin, source + begin, static_cast<size_t>(end - begin));
      });
    }
  }

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> pairs_;
};

// The generator with nothing around it: normals into the first-level cache, none of them kept.
template <class Real>
void generate(int64_t count) {
  constexpr int64_t kBlocks = kernels::tile::kElements / 4;
  const int64_t tiles = (count + kernels::tile::kElements - 1) / kernels::tile::kElements;
  ops::parallel_for(0, tiles, 16, [&](int64_t begin, int64_t end) {
    alignas(64) Real normals[kernels::tile::kElements + 4];
    for (int64_t i = begin; i < end; ++i)
      kernels::tile::fill_normals(1, 2, static_cast<uint64_t>(i * kBlocks),
                                  std::min(kBlocks, (count - i * kernels::tile::kElements + 3) / 4), normals);
  });
}

at::Tensor column(const std::vector<double>& values, at::ScalarType dtype) {
  return at::tensor(values, at::kDouble).to(dtype).unsqueeze(1);
}

// renoise + target + loss + gradient, in two calls because the network's evaluation lies between them.
void bench_step(at::ScalarType dtype, int64_t elements, const Budget& budget) {
  const std::vector<double> t = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8};
  constexpr double kC = 0.8, kTerminal = 0.9;
  const ops::Noise noise{std::nullopt, {1, {1, 2, 3, 4, 5, 6, 7, 8}}};
  const auto options = at::TensorOptions().dtype(dtype);
  const at::Tensor x1 = at::randn({kSamples, elements}, options), v = at::randn({kSamples, elements}, options),
                   G = at::randn({kSamples, elements}, options);
  at::Tensor a = at::empty_like(x1), b = at::empty_like(x1), c = at::empty_like(x1);
  Copies copies;  // reads x1, v, x_t, x1 and G, writes x_t and the gradient: seven tensors, three and a half copies
  copies.add(x1, a);
  copies.add(v, b);
  copies.add(G, c);
  copies.add(x1.narrow(0, 0, kSamples / 2), a.narrow(0, 0, kSamples / 2));

  std::vector<double> endpoint, sigma, target_x, target_y, target_g;
  for (double time : t) {
    const kernels::Coefficients k = kernels::coefficients(time, kC);
    const double kappa_at_terminal = kTerminal * kTerminal * k.kappa + (1 - kTerminal) * (1 - kTerminal);
    const kernels::ForwardCoefficients f = kernels::forward_coefficients(time, kTerminal);
    endpoint.push_back(f.endpoint);
    sigma.push_back(f.noise);
    target_x.push_back(1 / time - (1 - time) / (time * k.Q));
    target_y.push_back((1 - time) / (kTerminal * k.Q));
    target_g.push_back((1 - time) / (kTerminal * k.Q) * kappa_at_terminal);
  }
  const at::Tensor e = column(endpoint, dtype), s = column(sigma, dtype), cx = column(target_x, dtype),
                   cy = column(target_y, dtype), cg = column(target_g, dtype);
  const double grad_scale = 2.0 / static_cast<double>(kSamples * elements);

  at::Tensor sink;
  double loss = 0;
  // Into memory that is there already, and into new tensors, whose pages the system must first map.
  const auto fused = [&](const at::Tensor& x_t, const at::Tensor& grad) {
    sink = ops::renoise(x1, t, noise, kTerminal, x_t);
    loss += ops::matching_loss(v, sink, x1, G, t, {kC, ops::Weighting::velocity, 20, kTerminal}, grad).loss;
  };
  const auto drawn_again = [&] {
    sink = ops::renoise(x1, t, noise, kTerminal, a);
    loss += ops::matching_loss(v, x1, G, t, noise, {kC, ops::Weighting::velocity, 20, kTerminal}, b).loss;
  };
  // Without autograd, which makes it cheaper than what one would write.
  const auto composed = [&] {
    c10::InferenceMode guard;
    sink = e * x1 + s * at::randn(x1.sizes(), options);
    const at::Tensor difference = v - (cx * sink + cy * x1 + cg * G);
    const at::Tensor per_sample = difference.square().mean(1);
    loss += per_sample.mean().item<double>();
    sink = difference * grad_scale;
  };
  const auto generator = [&] {
    if (dtype == at::kDouble)
      generate<double>(kSamples * elements);
    else
      generate<float>(kSamples * elements);
  };
  bench::compare({"kernels", "fused step", "", name_of(dtype), kSamples * elements},
                 {{"ours", [&] { fused(a, b); }},
                  {"ours into new tensors", [&] { fused({}, {}); }},
                  {"ours drawing twice", drawn_again},
                  {"libtorch", composed},
                  {"copy", copies},
                  {"generator", generator}},
                 budget);
}

// The other kernels: one pass each over `tensors` tensors, the result among them.
void bench_operations(at::ScalarType dtype, int64_t elements, const Budget& budget) {
  const auto options = at::TensorOptions().dtype(dtype);
  const std::vector<int64_t> shape = {kSamples, elements};
  const at::Tensor x = at::randn(shape, options), v = at::randn(shape, options), g = at::randn(shape, options),
                   u = at::randn(shape, options), to = at::empty(shape, options);
  const std::vector<double> t(kSamples, 0.4);
  const at::Tensor time = column(t, dtype), rest = 1 - time;
  const ops::Noise noise{std::nullopt, {1, {2}}};
  constexpr double kTime = 0.4, kStep = 0.1, kGuidance = 2;
  at::Tensor sink;
  const auto measure = [&](const char* name, int tensors, const std::function<at::Tensor()>& ours,
                           const std::function<at::Tensor()>& composed) {
    // tensors/2 copies touch as many bytes; an odd count copies half a tensor more.
    const at::Tensor from_list[] = {x, v, g, u};
    Copies copies;
    for (int i = 0; i < tensors / 2; ++i) copies.add(from_list[i], to);
    if (tensors % 2) copies.add(from_list[3].narrow(0, 0, kSamples / 2), to.narrow(0, 0, kSamples / 2));
    bench::compare({"kernels", name, "", name_of(dtype), kSamples * elements},
                   {{"ours", [&] { sink = ours(); }},
                    {"libtorch",
                     [&] {
                       c10::InferenceMode guard;
                       sink = composed();
                     }},
                    {"copy", copies}},
                   budget);
  };
  measure(
      "normals", 1, [&] { return ops::philox_normal(shape, noise.philox, dtype, at::kCPU); },
      [&] { return at::randn(shape, options); });
  measure(
      "renoise", 2, [&] { return ops::renoise(x, t, noise); },
      [&] { return time * x + rest * at::randn(shape, options); });
  measure(
      "terminal gradient", 4, [&] { return ops::terminal_gradient(x, v, g, 2.0, 0.9); },
      [&] { return (0.9 * v - x) / 0.1 + 2.0 * g; });
  measure("Euler step", 3, [&] { return ops::affine({{x, {1}}, {v, {kStep}}}); }, [&] { return at::add(x, v, kStep); });
  measure(
      "guided Euler step", 4,
      [&] { return ops::affine({{x, {1}}, {v, {kStep * kGuidance}}, {u, {kStep * (1 - kGuidance)}}}); },
      [&] { return x + kStep * (u + kGuidance * (v - u)); });
  measure(
      "guided Heun step", 6,
      [&] {
        const double h = kStep / 2;
        return ops::affine({{x, {1}},
                            {v, {h * kGuidance}},
                            {u, {h * (1 - kGuidance)}},
                            {g, {h * kGuidance}},
                            {to, {h * (1 - kGuidance)}}});
      },
      [&] {
        const at::Tensor first = u + kGuidance * (v - u), second = to + kGuidance * (g - to);
        return x + kStep / 2 * (first + second);
      });
  measure(
      "memoryless step", 3, [&] { return ops::memoryless_step(x, v, kTime, kStep, noise); },
      [&] {
        const kernels::MemorylessStepCoefficients c = kernels::memoryless_step_coefficients(kTime, kStep);
        return c.x * x + c.velocity * v + c.noise * at::randn(shape, options);
      });
  measure(
      "lean adjoint step", 3, [&] { return ops::lean_adjoint_step(x, v, kTime, kStep); },
      [&] {
        const kernels::LeanAdjointStepCoefficients c = kernels::lean_adjoint_step_coefficients(kTime, kStep);
        return c.adjoint * x + c.vjp * v;
      });
}

// Updates over `count` parameters in tensors of a transformer's sizes, many of them small.
void bench_optimizer(int64_t count, const Budget& budget) {
  std::vector<at::Tensor> sets[5];
  std::vector<at::Tensor> steps;
  int64_t total = 0;
  while (total < count) {
    for (int64_t size : {count / 20, count / 40, int64_t{768}}) {
      for (auto& set : sets) set.push_back(at::rand({size}) * 0.01);
      steps.push_back(at::full({}, 3.0f));
      total += size;
    }
  }
  // Not structured bindings, which clang 14 captures in no lambda.
  auto &p = sets[0], &g = sets[1], &m = sets[2], &v = sets[3], &average = sets[4];
  constexpr double kRate = 1e-4, kBeta1 = 0.9, kBeta2 = 0.99, kEpsilon = 1e-8, kDecay = 0.01;
  const auto measure = [&](const char* name, int tensors, const std::function<void()>& ours,
                           const std::function<void()>& theirs) {
    Copies copies;
    for (size_t i = 0; i < p.size(); ++i) {
      for (int copy = 0; copy < tensors / 2; ++copy) copies.add(sets[copy][i], average[i]);
      if (tensors % 2) copies.add(g[i].narrow(0, 0, g[i].numel() / 2), average[i].narrow(0, 0, g[i].numel() / 2));
    }
    bench::compare({"optimizer", name, "", "float32", total}, {{"ours", ours}, {"libtorch", theirs}, {"copy", copies}},
                   budget);
  };
  at::NoGradGuard guard;
  double sink = 0;
  measure(
      "AdamW", 7, [&] { ops::adamw(p, g, m, v, {kRate, kBeta1, kBeta2, kEpsilon, kDecay, 3, 0.5}); },
      [&] { at::_fused_adamw_(p, g, m, v, {}, steps, kRate, kBeta1, kBeta2, kDecay, kEpsilon, false, false); });
  measure("EMA", 3, [&] { ops::ema(average, p, 0.99); }, [&] { at::_foreach_lerp_(average, p, 0.01); });
  measure(
      "gradient norm", 1, [&] { sink += ops::global_norm(g); },
      [&] { sink += at::stack(at::_foreach_norm(g)).norm().item<double>(); });
}

void run(const Settings& settings) {
  bench::print_header();
  for (int threads : settings.threads) {
    at::set_num_threads(threads);
    for (at::ScalarType dtype : kTypes) {
      for (int64_t elements : settings.sizes) {
        const double bytes = 14.0 * static_cast<double>(kSamples * elements * c10::elementSize(dtype));
        if (bytes < most_bytes()) bench_step(dtype, elements, settings.budget);
      }
      for (int64_t elements : settings.operation_sizes) bench_operations(dtype, elements, settings.budget);
    }
    bench_optimizer(settings.parameters, settings.budget);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Settings settings = kFull;
    if (argc > 1 && std::strcmp(argv[1], "--quick") == 0) settings = kQuick;
    if (argc > 2 && std::strcmp(argv[1], "--elements") == 0)
      settings.sizes = settings.operation_sizes = {std::atoll(argv[2])};
    run(settings);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "failed: %s\n", error.what());
    return 1;
  }
  return 0;
}
