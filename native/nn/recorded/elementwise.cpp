#include <ATen/core/Tensor.h>
#include <ATen/ops/add.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/div.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/sub.h>

#include "nn/recorded/operator.h"
#include "ops/error.h"
#include "ops/gelu.h"

namespace eam::nn {

namespace {

std::vector<Parameter> two() {
  return {{"a", Takes::summand}, {"b", Takes::summand}};
}

std::vector<Parameter> one() {
  return {{"x", Takes::tensor}};
}

// Some operators have no kernel for the meta device.
at::Tensor absolute(const Arguments& a) {
  return a.tensor(0).is_meta() ? at::empty_like(a.tensor(0)) : a.tensor(0).abs();
}

at::Tensor rectified(const Arguments& a) {
  return a.tensor(0).is_meta() ? at::empty_like(a.tensor(0)) : at::relu(a.tensor(0));
}

}  // namespace

std::vector<Operator> elementwise_operators() {
  using A = const Arguments&;
  return {
      {"add", two(), [](A a) { return at::add(a.summand(0), a.summand(1)); }},
      {"sub", two(), [](A a) { return at::sub(a.summand(0), a.summand(1)); }},
      {"mul", two(), [](A a) { return at::mul(a.summand(0), a.summand(1)); }},
      {"div", two(), [](A a) { return at::div(a.summand(0), a.summand(1)); }},
      {"maximum", two(), [](A a) { return at::maximum(a.summand(0), a.summand(1)); }},
      {"minimum", two(), [](A a) { return at::minimum(a.summand(0), a.summand(1)); }},
      {"addcmul",
       {{"sum", Takes::tensor}, {"a", Takes::tensor}, {"b", Takes::tensor}},
       [](A a) { return at::addcmul(a.tensor(0), a.tensor(1), a.tensor(2)); }},
      {"pow",
       {{"x", Takes::tensor}, {"exponent", Takes::number}},
       [](A a) { return at::pow(a.tensor(0), a.number(1)); }},
      {"clamp",
       {{"x", Takes::tensor}, {"lowest", Takes::number}, {"highest", Takes::number}},
       [](A a) { return at::clamp(a.tensor(0), a.number(1), a.number(2)); }},
      {"neg", one(), [](A a) { return a.tensor(0).neg(); }},
      {"abs", one(), absolute},
      {"exp", one(), [](A a) { return a.tensor(0).exp(); }},
      {"log", one(), [](A a) { return a.tensor(0).log(); }},
      {"sqrt", one(), [](A a) { return a.tensor(0).sqrt(); }},
      {"rsqrt", one(), [](A a) { return a.tensor(0).rsqrt(); }},
      {"square", one(), [](A a) { return a.tensor(0).square(); }},
      {"sin", one(), [](A a) { return a.tensor(0).sin(); }},
      {"cos", one(), [](A a) { return a.tensor(0).cos(); }},
      {"tanh", one(), [](A a) { return a.tensor(0).tanh(); }},
      {"sigmoid", one(), [](A a) { return a.tensor(0).sigmoid(); }},
      {"relu", one(), rectified},
      {"silu", one(), [](A a) { return at::silu(a.tensor(0)); }},
      {"softplus", one(), [](A a) { return at::softplus(a.tensor(0)); }},
      {"gelu",
       {{"x", Takes::tensor}, {"approximate", Takes::text, {"none", "tanh"}}},
       [](A a) { return a.text(1) == "tanh" ? ops::gelu_tanh(a.tensor(0)) : at::gelu(a.tensor(0)); }},
      {"cast", {{"x", Takes::tensor}, {"dtype", Takes::dtype}}, [](A a) { return a.tensor(0).to(a.dtype(1)); }},
  };
}

}  // namespace eam::nn
