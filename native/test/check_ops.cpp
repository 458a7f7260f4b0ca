// Checks the operators without Node: the closed forms against plain versions of them, and, in a CUDA build on a machine
// with a device, every operator and dtype on CUDA against the CPU. Exits with 1 on a mismatch.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "ops/gelu.h"
#include "ops/ops.h"
#include "test/check.h"

namespace {

using namespace eam::check;
using namespace eam::ops;

using Shape = std::vector<int64_t>;

struct Precision {
  at::ScalarType dtype;
  double bound;  // of one operator: float rounding of a few operations, or one rounding of the storage
};

const std::vector<Precision> kPrecisions = {
    {at::kDouble, 1e-13}, {at::kFloat, 2e-6}, {at::kBFloat16, 0x1p-8}, {at::kHalf, 0x1p-10}};

std::string text_of(at::IntArrayRef shape) {
  std::string text;
  for (int64_t size : shape) {
    if (!text.empty()) text += 'x';
    text += std::to_string(size);
  }
  return text;
}

at::Tensor normal(at::IntArrayRef shape, uint64_t stream, at::ScalarType dtype = at::kDouble) {
  return philox_normal(shape, {7, {stream}}, dtype, at::kCPU);
}

at::Tensor column(const std::vector<double>& values, int64_t dimensions) {
  std::vector<int64_t> shape(static_cast<size_t>(dimensions), 1);
  shape[0] = static_cast<int64_t>(values.size());
  return at::tensor(values, at::kDouble).view(shape);
}

void check_normals() {
  at::Tensor z = normal({1 << 20}, 3);
  report("normals: mean", std::abs(z.mean().item<double>()), 5e-3);
  report("normals: variance - 1", std::abs(z.var().item<double>() - 1), 7e-3);
  for (const Precision& p : kPrecisions)
    report(std::string("normals ") + c10::toString(p.dtype) + " against float64",
           error_of(normal({4097}, 5, p.dtype), normal({4097}, 5)), p.bound);

  // One stream cut anywhere and a stream a sample give the same numbers.
  at::Tensor rows = philox_normal({3, 1029}, {7, {11, 12, 13}}, at::kFloat, at::kCPU);
  for (int64_t b = 0; b < 3; ++b)
    report("stream of sample " + std::to_string(b),
           error_of(rows[b], normal({1029}, 11 + static_cast<uint64_t>(b), at::kFloat)), 0);
}

void check_storage() {
  at::Tensor halves = at::arange(0, 65536, at::kInt).to(at::kShort);
  for (at::ScalarType dtype : {at::kHalf, at::kBFloat16}) {
    at::Tensor all = halves.view(dtype).view({1, -1});
    at::Tensor finite = all.masked_select(all.isfinite()).view({1, -1});
    at::Tensor widened = at::empty_like(finite, at::kFloat).zero_();
    report(std::string("every finite ") + c10::toString(dtype) + " widened",
           error_of(affine({{widened, {0}}, {finite, {1}}}), finite), 0);
    // Floats of every magnitude, halfway cases, subnormals and overflow among them.
    at::Tensor floats = at::arange(0, int64_t{1} << 32, 4099, at::kLong).to(at::kInt).view(at::kFloat);
    floats = at::cat({floats, finite.to(at::kFloat).flatten(), (finite.to(at::kFloat) * (1 + 0x1p-9)).flatten(),
                      (finite.to(at::kFloat) * (1 + 0x1p-12)).flatten()});
    floats = floats.masked_select(floats.isfinite()).view({1, -1});
    at::Tensor narrowed = affine({{at::zeros_like(floats, dtype), {0}}, {floats, {1}}});
    at::Tensor same = narrowed.eq(floats.to(dtype)).all();
    report(std::string("floats narrowed to ") + c10::toString(dtype), same.item<bool>() ? 0 : 1, 0);
  }
}

// v̂ and x_t written out as in the paper, in float64, with t in (0, terminal_time].
struct Plain {
  at::Tensor x_t, target, loss, grad;
};

Plain plain_matching(const at::Tensor& v, const at::Tensor& y, const at::Tensor& g, const at::Tensor& noise,
                     const std::vector<double>& times, double C, double s) {
  at::Tensor t = column(times, y.dim());
  double delta = 1 - s, kappa = 2 * C - 1, kappa_at_s = s * s * kappa + delta * delta;
  at::Tensor Q = t * t * kappa + (1 - t) * (1 - t);
  at::Tensor variance = ((1 - t) * (1 - t) - (t / s) * (t / s) * delta * delta).clamp_min(0);
  at::Tensor x_t = t / s * y + variance.sqrt() * noise;
  at::Tensor score = (t / s * y - x_t + t / s * kappa_at_s * g) / Q;
  at::Tensor target = x_t / t + (1 - t) / t * score;
  at::Tensor difference = v - target;
  return {x_t, target, difference.square().mean(), 2 * difference / static_cast<double>(v.numel())};
}

void check_formulas() {
  for (double s : {1.0, 0.9})
    for (const Shape& shape : {Shape{4, 3, 5}, Shape{4, 20001}}) {
      std::vector<double> t = {0.05, 0.4, 0.7, s == 1 ? 0.97 : 0.9};
      at::Tensor v = normal(shape, 1), y = normal(shape, 2), g = normal(shape, 3), e = normal(shape, 4);
      Plain plain = plain_matching(v, y, g, e, t, 0.8, s);
      for (const Precision& p : kPrecisions) {
        auto cast = [&](const at::Tensor& x) { return x.to(p.dtype); };
        std::string where =
            std::string(" ") + c10::toString(p.dtype) + " " + text_of(shape) + " t*=" + std::to_string(s).substr(0, 3);
        Noise noise{cast(e), {}};
        report("renoise" + where, error_of(renoise(cast(y), t, noise, s), plain.x_t), 2 * p.bound);
        Loss loss = matching_loss(cast(v), cast(y), cast(g), t, noise, {0.8, Weighting::velocity, 20, s});
        report("matching loss" + where, std::abs(loss.loss / plain.loss.item<double>() - 1), 2 * p.bound);
        Loss at_x = matching_loss(cast(v), cast(plain.x_t), cast(y), cast(g), t, {0.8, Weighting::velocity, 20, s});
        report("matching loss at x_t" + where, std::abs(at_x.loss / plain.loss.item<double>() - 1), 2 * p.bound);
        report("matching gradient at x_t" + where, error_of(at_x.grad, plain.grad), 4 * p.bound);
        // Inputs are rounded to the storage before the difference is taken.
        report("matching gradient" + where, error_of(loss.grad, plain.grad), 4 * p.bound);
      }
      Noise philox{std::nullopt, {7, {4}}};
      report("noise regenerated " + text_of(shape), error_of(renoise(y, t, philox, s), plain.x_t), 1e-13);
    }

  // Both ends are finite; at t = 1 the target is the endpoint's, at t = 0 it is X_1 + κG − ε.
  at::Tensor v = normal({2, 6}, 1), x1 = normal({2, 6}, 2), g = normal({2, 6}, 3), e = normal({2, 6}, 4);
  at::Tensor ends = at::stack({x1[0] + 0.5 * g[0] - e[0], x1[1]});
  Loss loss = matching_loss(v, x1, g, {0, 1}, {e, {}}, {0.75});
  report("target at t = 0 and t = 1", error_of(v - loss.grad * 6, ends), 1e-13);
  loss = matching_loss(v, at::stack({e[0], x1[1]}), x1, g, {0, 1}, {0.75});
  report("target at x_t at t = 0 and t = 1", error_of(v - loss.grad * 6, ends), 1e-13);

  at::set_num_threads(1);
  at::Tensor big = normal({3, 50001}, 5, at::kFloat);
  Loss one = flow_matching_loss(big, big * 0.5, {std::nullopt, {1, {2}}});
  at::set_num_threads(2);
  Loss two = flow_matching_loss(big, big * 0.5, {std::nullopt, {1, {2}}});
  report("loss with 1 and with 2 threads", std::abs(one.loss - two.loss) + error_of(one.grad, two.grad), 0);

  at::Tensor p = normal({1000}, 1, at::kFloat), grad = normal({1000}, 2, at::kFloat),
             m = normal({1000}, 3, at::kFloat) * 0.1, w = normal({1000}, 4, at::kFloat).square();
  AdamW options{1e-2, 0.9, 0.99, 1e-8, 0.1, 3, 0.5};
  at::Tensor pd = p.to(at::kDouble), gd = grad.to(at::kDouble) * 0.5;
  at::Tensor md = 0.9 * m.to(at::kDouble) + 0.1 * gd, wd = 0.99 * w.to(at::kDouble) + 0.01 * gd.square();
  at::Tensor expected =
      pd * (1 - 1e-3) - 1e-2 * (md / (1 - std::pow(0.9, 3))) / ((wd / (1 - std::pow(0.99, 3))).sqrt() + 1e-8);
  adamw({p}, {grad}, {m}, {w}, options);
  report("adamw parameter", error_of(p, expected), 1e-6);
  report("adamw moments", std::max(error_of(m, md), error_of(w, wd)), 1e-6);
  report("global norm", std::abs(global_norm({m, w}) / at::cat({md, wd}).norm().item<double>() - 1), 1e-6);
}

#ifdef EAM_WITH_CUDA
// Copies the values one element off LibTorch's alignment.
at::Tensor shifted(const at::Tensor& tensor, bool shift) {
  if (!shift) return tensor;
  at::Tensor base = at::empty({tensor.numel() + 1}, tensor.options());
  return base.narrow(0, 1, tensor.numel()).view(tensor.sizes()).copy_(tensor);
}

void check_cuda_shape(const Precision& p, at::IntArrayRef shape, bool shift) {
  int64_t samples = shape[0];
  std::vector<double> t;
  std::vector<uint64_t> streams;
  for (int64_t b = 0; b < samples; ++b) {
    t.push_back(0.9 * static_cast<double>(b + 1) / static_cast<double>(samples + 1));
    streams.push_back(100 + static_cast<uint64_t>(b));
  }
  at::Tensor v = normal(shape, 1, p.dtype), x = normal(shape, 2, p.dtype), g = normal(shape, 3, p.dtype);
  at::Tensor mixed = normal(shape, 4, p.dtype == at::kFloat ? at::kBFloat16 : at::kFloat);
  at::Tensor e = normal(shape, 5, p.dtype);

  using Values = std::vector<at::Tensor>;
  auto loss_values = [](const Loss& loss) {
    std::vector<float> scalars = loss.per_sample;
    scalars.push_back(static_cast<float>(loss.loss));
    return Values{loss.grad, at::tensor(scalars)};
  };
  auto compare = [&](const std::string& name, const std::function<Values(at::Device)>& run) {
    Values cpu = run(at::kCPU), cuda = run(at::kCUDA);
    double error = 0;
    for (size_t i = 0; i < cpu.size(); ++i) error = std::max(error, error_of(cuda[i], cpu[i]));
    report(name + " " + c10::toString(p.dtype) + " " + text_of(shape) + (shift ? " unaligned" : ""), error, p.bound);
  };

  for (int kind = 0; kind < 3; ++kind) {
    const char* label[] = {"tensor", "stream", "streams"};
    auto noise = [&, kind](at::Device d) {
      return kind == 0 ? Noise{shifted(e.to(d), shift), {}}
                       : Noise{std::nullopt, {9, kind == 1 ? std::vector<uint64_t>{4} : streams}};
    };
    auto on = [&](const at::Tensor& tensor, at::Device d) { return shifted(tensor.to(d), shift); };
    std::string with = std::string(" noise=") + label[kind];
    if (kind > 0)
      compare("philox_normal" + with,
              [&](at::Device d) { return Values{philox_normal(shape, noise(d).philox, p.dtype, d)}; });
    compare("renoise" + with, [&](at::Device d) { return Values{renoise(on(x, d), t, noise(d), 0.9)}; });
    compare("memoryless_step" + with,
            [&](at::Device d) { return Values{memoryless_step(on(x, d), on(v, d), 0.3, 0.1, noise(d))}; });
    compare("affine mixed" + with, [&](at::Device d) {
      Noise n = noise(d);
      return Values{affine({{on(x, d), {0.5}}, {on(mixed, d), {-0.25}}}, &n, t)};
    });
    compare("matching_loss" + with, [&](at::Device d) {
      return loss_values(
          matching_loss(on(v, d), on(x, d), on(g, d), t, noise(d), {0.8, Weighting::adjoint_matching, 20, 0.9}));
    });
    compare("matching_loss at x_t" + with, [&](at::Device d) {
      return loss_values(
          matching_loss(on(v, d), on(x, d), on(x, d), on(g, d), t, {0.8, Weighting::adjoint_matching, 20, 0.9}));
    });
    compare("matching_loss mixed" + with, [&](at::Device d) {
      return loss_values(matching_loss(on(v, d), on(x, d), on(mixed, d), t, noise(d), {0.8}));
    });
    compare("flow_matching_loss" + with,
            [&](at::Device d) { return loss_values(flow_matching_loss(on(v, d), on(x, d), noise(d))); });
  }
  compare("terminal_gradient",
          [&](at::Device d) { return Values{terminal_gradient(x.to(d), v.to(d), g.to(d), 2.5, 0.9)}; });
  compare("lean_adjoint_step", [&](at::Device d) { return Values{lean_adjoint_step(x.to(d), v.to(d), 0.3, 0.1)}; });
  compare("terminal_gradient transposed", [&](at::Device d) {
    auto turned = [&](const at::Tensor& tensor) { return tensor.to(d).unsqueeze(-1).transpose(1, -1); };
    return Values{terminal_gradient(turned(x), turned(v), turned(g), 2.5, 0.9)};
  });
}

void check_cuda_optimizer() {
  std::vector<at::Tensor> sets[4];
  const std::vector<int64_t> sizes = {1, 5, 16384, 16385, 100003};
  for (uint64_t kind = 0; kind < 4; ++kind)
    for (size_t i = 0; i < sizes.size(); ++i) {
      at::Tensor values = normal({sizes[i]}, 10 * kind + i, at::kFloat);
      sets[kind].push_back(kind == 3 ? values.square() : values);
    }
  auto run = [&](at::Device d) {
    std::vector<at::Tensor> copies[4];
    for (int kind = 0; kind < 4; ++kind)
      for (const at::Tensor& tensor : sets[kind])
        copies[kind].push_back(shifted(tensor.to(d, at::kFloat, false, true), tensor.numel() == 5));
    adamw(copies[0], copies[1], copies[2], copies[3], {1e-2, 0.9, 0.99, 1e-8, 0.1, 3, 0.5});
    ema(copies[1], copies[0], 0.9);
    std::vector<at::Tensor> all;
    for (const auto& list : copies) all.insert(all.end(), list.begin(), list.end());
    all.push_back(at::tensor({global_norm(copies[2])}, at::kDouble));
    return all;
  };
  std::vector<at::Tensor> cpu = run(at::kCPU), cuda = run(at::kCUDA);
  double error = 0;
  for (size_t i = 0; i < cpu.size(); ++i) error = std::max(error, error_of(cuda[i], cpu[i]));
  report("adamw, ema, global_norm", error, 2e-6);
}
#endif

// Against LibTorch's in float64, to its limits and past them; the derivative of a part that lies apart in memory, too.
void check_gelu() {
  const at::Tensor middle = at::arange(-20, 20, 1e-3, at::kFloat);
  const at::Tensor far = at::tensor({-1e30, -1e4, -90.0, 90.0, 1e4, 1e30}, at::kFloat);
  const at::Tensor values = at::stack({at::cat({middle, far}), at::cat({middle.flip(0), far})}, 1);
  for (const bool whole : {true, false}) {
    at::Tensor x = (whole ? values : values.select(1, 0)).detach().clone(at::MemoryFormat::Preserve).requires_grad_();
    at::Tensor exact = x.detach().to(at::kDouble).requires_grad_();
    const at::Tensor found = gelu_tanh(x), expected = at::gelu(exact, "tanh");
    const at::Tensor upstream = normal(x.sizes(), 31);
    const at::Tensor slope = torch::autograd::grad({found}, {x}, {upstream.to(at::kFloat)})[0];
    // For numbers so large LibTorch's derivative is not one.
    const at::Tensor true_slope = at::where(exact.detach().abs() > 1e4, exact.detach().gt(0).to(at::kDouble) * upstream,
                                            torch::autograd::grad({expected}, {exact}, {upstream})[0]);
    const at::Tensor scale = at::clamp_min(expected.detach().abs(), 1);
    report("gelu_tanh", ((found.detach() - expected.detach()) / scale).abs().max().item<double>(), 1e-6);
    report("gelu_tanh, its derivative", error_of(slope, true_slope), 2e-6);
    const at::NoGradGuard no_grad;
    report("gelu_tanh, not differentiated", error_of(gelu_tanh(x), found.detach()), 0);
  }
  const float nan = std::nanf("");
  report("gelu_tanh of NaN", gelu_tanh(at::tensor({nan})).isnan().item<bool>() ? 0 : 1, 0);
}

void check_cuda() {
#ifdef EAM_WITH_CUDA
  if (!has_cuda()) {
    std::puts("CUDA against CPU: skipped, no device here");
    return;
  }
  for (const Precision& p : kPrecisions)
    for (const Shape& shape :
         {Shape{1, 1}, Shape{3, 7}, Shape{5, 2, 5}, Shape{4, 4099}, Shape{2, 65536}, Shape{300, 33}})
      for (bool shift : {false, true}) check_cuda_shape(p, shape, shift);
  check_cuda_optimizer();
#else
  std::puts("CUDA against CPU: skipped, this is the cpu variant");
#endif
}

}  // namespace

int main() {
  return run_checks([] {
    check_normals();
    check_storage();
    check_formulas();
    check_gelu();
    check_cuda();
  });
}
