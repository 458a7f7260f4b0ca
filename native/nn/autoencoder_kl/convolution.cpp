#include "nn/autoencoder_kl/convolution.h"

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

namespace eam::nn {

namespace {

class AllowTf32 {
 public:
  AllowTf32() : before_(at::globalContext().allowTF32CuDNN()) { at::globalContext().setAllowTF32CuDNN(true); }
  ~AllowTf32() { at::globalContext().setAllowTF32CuDNN(before_); }
  AllowTf32(const AllowTf32&) = delete;
  AllowTf32& operator=(const AllowTf32&) = delete;

 private:
  const bool before_;
};

using Context = torch::autograd::AutogradContext;
using Tensors = torch::autograd::variable_list;

struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(Context* context, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            int64_t stride, int64_t padding) {
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    const AllowTf32 tf32;
    return at::conv2d(x, weight, bias, {stride, stride}, {padding, padding});
  }

  static Tensors backward(Context* context, const Tensors& upstream) {
    const Tensors saved = context->get_saved_variables();
    const int64_t stride = context->saved_data["stride"].toInt(), padding = context->saved_data["padding"].toInt();
    const AllowTf32 tf32;
    auto gradients =
        at::convolution_backward(upstream[0], saved[0], saved[1], std::nullopt, {stride, stride}, {padding, padding},
                                 {1, 1}, /*transposed=*/false, {0, 0}, /*groups=*/1, {true, false, false});
    return {std::get<0>(gradients), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor tf32_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                            int64_t padding) {
  return Convolution::apply(x, weight, bias, stride, padding);
}

}  // namespace eam::nn
