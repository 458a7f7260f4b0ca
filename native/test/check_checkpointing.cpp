// Checks activation checkpointing without Node, on a segment of two inputs and two outputs: gradients are those without
// it, nested or not, accumulated or asked for, and the segment runs no more often than it must. Exits with 1 on a
// mismatch.
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tanh.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "nn/layers/checkpointing.h"
#include "ops/error.h"

namespace {

using namespace eam;
using Tensors = std::vector<at::Tensor>;

int failures = 0;

void check(const std::string& what, bool passed) {
  failures += !passed;
  std::printf("%-70s %s\n", what.c_str(), passed ? "ok" : "MISMATCH");
}

bool same(const Tensors& found, const Tensors& expected) {
  if (found.size() != expected.size()) return false;
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i].defined() != expected[i].defined()) return false;
    if (found[i].defined() && !at::equal(found[i], expected[i])) return false;
  }
  return true;
}

struct Network {
  at::Tensor w = at::randn({8, 8}).requires_grad_(true), b = at::randn({8}).requires_grad_(true);
  at::Tensor frozen = at::randn({8, 8});
  mutable int runs = 0;

  nn::Segment segment() const {
    return [this](const Tensors& in) -> Tensors {
      ++runs;
      const at::Tensor h = at::tanh(at::matmul(in[0], w) + b);
      return {at::matmul(h * in[1], frozen), at::sin(in[0]) + h};
    };
  }
  nn::Segment checkpointed() const {
    return [this](const Tensors& in) { return nn::checkpoint(segment(), in, {w, b}); };
  }
  nn::Segment nested() const {
    return [this](const Tensors& in) { return nn::checkpoint(checkpointed(), in, {w, b}); };
  }
};

}  // namespace

int main() {
  at::manual_seed(1);
  Network network;
  const at::Tensor x = at::randn({5, 8}).requires_grad_(true), c = at::randn({5, 8}), up = at::randn({5, 8});
  const std::vector<std::pair<std::string, nn::Segment>> kinds = {{"checkpointed", network.checkpointed()},
                                                                  {"nested", network.nested()}};
  const auto grad = [&](const nn::Segment& run, const Tensors& wanted, bool both) {
    const Tensors out = run({x, c});
    const Tensors roots = both ? out : Tensors{out[1]};
    return torch::autograd::grad(roots, wanted, Tensors(roots.size(), up), std::nullopt, false, true);
  };
  const auto accumulated = [&](const nn::Segment& run) {
    for (const at::Tensor& tensor : {x, network.w, network.b}) tensor.mutable_grad().reset();
    // Two segments after each other, and two losses.
    for (int i = 0; i < 2; ++i) torch::autograd::backward({run(run({x, c}))[0]}, {up});
    return Tensors{x.grad(), network.w.grad(), network.b.grad()};
  };

  const Tensors all = {x, network.w, network.b};
  for (const auto& [kind, run] : kinds) {
    check(kind + ": outputs", same(run({x, c}), network.segment()({x, c})));
    check(kind + ": gradients", same(grad(run, all, true), grad(network.segment(), all, true)));
    check(kind + ": gradient of the input alone", same(grad(run, {x}, true), grad(network.segment(), {x}, true)));
    check(kind + ": gradient of a parameter alone",
          same(grad(run, {network.b}, true), grad(network.segment(), {network.b}, true)));
    check(kind + ": one output of two", same(grad(run, all, false), grad(network.segment(), all, false)));
    const Tensors expected = accumulated(network.segment());
    check(kind + ": accumulated gradients", same(accumulated(run), expected));
  }

  network.runs = 0;
  grad(network.checkpointed(), all, true);
  check("runs twice where there are gradients", network.runs == 2);
  network.runs = 0;
  {
    at::NoGradGuard no_grad;
    check("records nothing without gradients", !network.checkpointed()({x, c})[0].requires_grad());
  }
  check("runs once without gradients", network.runs == 1);

  for (const at::Tensor& tensor : all) tensor.mutable_grad().reset();
  grad(network.checkpointed(), {x}, true);
  check("accumulates nothing that was not asked for", !network.w.grad().defined() && !x.grad().defined());

  const Tensors unlisted = torch::autograd::grad({nn::checkpoint(network.segment(), {x, c}, {network.b})[0]},
                                                 {x, network.w}, {up}, std::nullopt, false, true);
  check("a parameter that is left out gets no gradient", unlisted[0].defined() && !unlisted[1].defined());

  bool refused = false;
  try {
    torch::autograd::grad({network.checkpointed()({x, c})[0]}, {x}, {up}, true, true);
  } catch (const Error& error) {
    refused = error.kind() == ErrorKind::config;
  }
  check("refuses second derivatives", refused);

  std::puts(failures == 0 ? "all checks passed" : "MISMATCH");
  return failures == 0 ? 0 : 1;
}
