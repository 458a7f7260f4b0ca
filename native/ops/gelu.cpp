#include "ops/gelu.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/gelu.h"
#include "ops/parallel.h"

namespace eam::ops {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// For contiguous tensors.
at::Tensor forward(const at::Tensor& x) {
  at::Tensor y = at::empty_like(x);
  const float* in = x.const_data_ptr<float>();
  float* out = y.mutable_data_ptr<float>();
  parallel_for(0, x.numel(), kChunk,
               [&](int64_t begin, int64_t end) { kernels::gelu(in + begin, out + begin, end - begin); });
  return y;
}

at::Tensor backward(const at::Tensor& x, const at::Tensor& upstream) {
  at::Tensor grad = at::empty_like(x);
  const float* in = x.const_data_ptr<float>();
  const float* g = upstream.const_data_ptr<float>();
  float* out = grad.mutable_data_ptr<float>();
  parallel_for(0, x.numel(), kChunk, [&](int64_t begin, int64_t end) {
    kernels::gelu_backward(in + begin, g + begin, out + begin, end - begin);
  });
  return grad;
}

struct GeluTanh : torch::autograd::Function<GeluTanh> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x) {
    context->save_for_backward({x});
    return ops::forward(x);
  }
  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    return {ops::backward(context->get_saved_variables()[0], upstream[0].contiguous())};
  }
};

}  // namespace

at::Tensor gelu_tanh(const at::Tensor& x) {
  if (!x.is_cpu() || x.scalar_type() != at::kFloat) return at::gelu(x, "tanh");
  const at::Tensor contiguous = x.contiguous();
  return at::GradMode::is_enabled() && x.requires_grad() ? GeluTanh::apply(contiguous) : forward(contiguous);
}

}  // namespace eam::ops
