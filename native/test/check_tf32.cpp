// The convolutions of an autoencoder's decoder that may round to TF32: LibTorch's flag is set while one of them is
// computed, forward or backward, and at no other time, whatever thread computes it. What the flag does only a GPU
// shows.
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "nn/autoencoder_kl/convolution.h"
#include "test/check.h"

namespace {

std::mutex mutex;
std::map<std::string, std::pair<int, int>> seen;  // calls of an operator with the flag set, and without

std::unique_ptr<at::ObserverContext> note(const at::RecordFunction& function) {
  const std::lock_guard lock(mutex);
  auto& [with, without] = seen[function.name()];
  ++(at::globalContext().allowTF32CuDNN() ? with : without);
  return nullptr;
}

void holds(const std::string& what, bool fact) {
  eam::check::report(what, fact ? 0 : 1, 0);
}

void checks() {
  at::globalContext().setAllowTF32CuDNN(false);
  const auto handle = at::addGlobalCallback(at::RecordFunctionCallback(note).scopes({at::RecordScope::FUNCTION}));
  const at::Tensor x = at::randn({2, 4, 6, 6}).requires_grad_(true);
  const at::Tensor weight = at::randn({8, 4, 3, 3}), bias = at::randn({8}), upstream = at::randn({2, 8, 6, 6});

  const at::Tensor y = eam::nn::tf32_convolution(x, weight, bias, 1, 1);
  const at::Tensor grad = torch::autograd::grad({y}, {x}, {upstream})[0];
  const auto [forward_with, forward_without] = seen["aten::convolution"];
  const auto [backward_with, backward_without] = seen["aten::convolution_backward"];
  holds("the flag is set in the forward pass", forward_with == 1 && forward_without == 0);
  holds("the flag is set in the backward pass", backward_with == 1 && backward_without == 0);
  holds("the flag is as it was afterwards", !at::globalContext().allowTF32CuDNN());

  seen.clear();
  at::matmul(upstream, upstream.transpose(2, 3));
  const at::Tensor plain = at::conv2d(x, weight, bias, {1, 1}, {1, 1});
  const at::Tensor plain_grad = torch::autograd::grad({plain}, {x}, {upstream})[0];
  bool any = false;
  for (const auto& [name, counts] : seen) any = any || counts.first > 0;
  holds("the flag is set for nothing else", !any && seen["aten::convolution_backward"].second == 1);
  holds("on the CPU the images are those of float32", at::equal(y, plain));
  holds("on the CPU the gradient is that of float32", at::equal(grad, plain_grad));

  bool threw = false;
  try {
    eam::nn::tf32_convolution(x, at::randn({8, 5, 3, 3}), bias, 1, 1);
  } catch (const std::exception&) {
    threw = true;
  }
  holds("the flag is as it was after an error", threw && !at::globalContext().allowTF32CuDNN());

  at::globalContext().setAllowTF32CuDNN(true);
  eam::nn::tf32_convolution(x, weight, bias, 1, 1);
  holds("a flag that was set stays set", at::globalContext().allowTF32CuDNN());
  at::removeCallback(handle);
  at::globalContext().setAllowTF32CuDNN(false);
}

}  // namespace

int main() {
  return eam::check::run_checks(checks);
}
