#include <ATen/core/Tensor.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/amin.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/var.h>

#include "nn/recorded/operator.h"

namespace eam::nn {

namespace {

// dims: all where they are left out.
std::vector<Parameter> reduced() {
  return {{"x", Takes::tensor}, {"dims", Takes::optional_integers}, {"keep", Takes::flag}};
}

at::Tensor population_variance(const Arguments& a) {
  // There is no kernel for the meta device, and the mean has the same shape.
  if (a.tensor(0).is_meta()) return at::mean(a.tensor(0), a.optional_integers(1), a.flag(2));
  return at::var(a.tensor(0), a.optional_integers(1), std::optional<at::Scalar>(0), a.flag(2));
}

at::IntArrayRef dims_or_all(const Arguments& a) {
  return a.has(1) ? at::IntArrayRef(a.integers(1)) : at::IntArrayRef();
}

}  // namespace

std::vector<Operator> reduction_operators() {
  using A = const Arguments&;
  return {
      {"sum", reduced(), [](A a) { return at::sum(a.tensor(0), a.optional_integers(1), a.flag(2)); }},
      {"mean", reduced(), [](A a) { return at::mean(a.tensor(0), a.optional_integers(1), a.flag(2)); }},
      {"max", reduced(), [](A a) { return at::amax(a.tensor(0), dims_or_all(a), a.flag(2)); }},
      {"min", reduced(), [](A a) { return at::amin(a.tensor(0), dims_or_all(a), a.flag(2)); }},
      {"variance", reduced(), population_variance},
      {"softmax",
       {{"x", Takes::tensor}, {"dim", Takes::integer}},
       [](A a) { return at::softmax(a.tensor(0), a.integer(1)); }},
      {"logSoftmax",
       {{"x", Takes::tensor}, {"dim", Takes::integer}},
       [](A a) { return at::log_softmax(a.tensor(0), a.integer(1)); }},
  };
}

}  // namespace eam::nn
