#include "nn/layers/linear_map.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <string_view>
#include <vector>

namespace eam::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// LibTorch gives float32 products to MKL, and MKL gives processors of other makers its AVX2 code, whatever they can do.
// oneDNN, which LibTorch has for other things, goes by what they can: twice as fast on an EPYC with AVX-512.
bool mkl_falls_short() {
#if defined(__x86_64__)
  static const bool does = at::hasMKL() && __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512f");
  return does;
#else
  return false;
#endif
}

// An operator without derivatives, made for compiled graphs; none in a LibTorch whose operator is another.
using Product = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                           c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
const std::optional<c10::TypedOperatorHandle<Product>>& onednn_product() {
  static const auto product = []() -> std::optional<c10::TypedOperatorHandle<Product>> {
    const auto handle = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!handle) return std::nullopt;
    try {
      return handle->typed<Product>();
    } catch (const c10::Error&) {
      return std::nullopt;
    }
  }();
  return product;
}

// What does not fit is at::linear's to refuse.
bool suits_onednn(const at::Tensor& x, const at::Tensor& weight) {
  constexpr int64_t kWorthwhile = int64_t{1} << 21;  // multiplications; below, the call costs more than it saves
  return x.is_cpu() && weight.is_cpu() && x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat &&
         x.dim() >= 2 && weight.dim() == 2 && x.size(-1) == weight.size(1) &&
         x.numel() * weight.size(0) >= kWorthwhile && mkl_falls_short() && at::globalContext().userEnabledMkldnn() &&
         onednn_product();
}

// x weightᵀ + bias, x of two dimensions.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  return onednn_product()->call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), std::nullopt);
}

struct LinearMap : torch::autograd::Function<LinearMap> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    // A frozen weight's layer does not keep its input alive.
    context->save_for_backward({weight.requires_grad() ? x : at::Tensor(), x.requires_grad() ? weight : at::Tensor()});
    context->saved_data["bias"] = bias.has_value();
    return product(x, weight, bias);
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& g = upstream[0];
    return {context->needs_input_grad(0) ? linear_map(g, saved[1].t()) : at::Tensor(),
            context->needs_input_grad(1) ? linear_map(g.t(), saved[0].t()) : at::Tensor(),
            context->saved_data["bias"].toBool() && context->needs_input_grad(2) ? g.sum(0) : at::Tensor()};
  }
};

}  // namespace

at::Tensor linear_map(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!suits_onednn(x, weight)) return at::linear(x, weight, bias);
  const bool has_bias = bias.defined();
  const bool differentiated =
      at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad() || (has_bias && bias.requires_grad()));
  const at::Tensor rows = x.flatten(0, -2);
  const std::optional<at::Tensor> b = has_bias ? std::optional(bias) : std::nullopt;
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = weight.size(0);
  return (differentiated ? LinearMap::apply(rows, weight, b) : product(rows, weight, b)).view(sizes);
}

}  // namespace eam::nn
