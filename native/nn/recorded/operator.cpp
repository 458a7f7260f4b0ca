#include "nn/recorded/operator.h"

#include <ATen/ScalarOps.h>

#include <cmath>
#include <iterator>
#include <map>

#include "ops/error.h"

namespace eam::nn {

std::optional<at::Tensor> Arguments::optional_tensor(size_t i) const {
  return has(i) ? std::optional(tensor(i)) : std::nullopt;
}

std::vector<at::Tensor> Arguments::tensors(size_t i) const {
  std::vector<at::Tensor> tensors;
  for (const ValueId value : std::get<std::vector<ValueId>>(operands_[i])) tensors.push_back(values_[value.index]);
  return tensors;
}

at::Tensor Arguments::summand(size_t i) const {
  if (std::holds_alternative<ValueId>(operands_[i])) return tensor(i);
  const double value = number(i);
  // As an integer where it is one, so that it does not make floating-point numbers of integers.
  if (std::trunc(value) == value && std::abs(value) < 9e15) {
    return at::native::wrapped_scalar_tensor(static_cast<int64_t>(value));
  }
  return at::native::wrapped_scalar_tensor(value);
}

std::optional<int64_t> Arguments::optional_integer(size_t i) const {
  return has(i) ? std::optional(integer(i)) : std::nullopt;
}

at::OptionalIntArrayRef Arguments::optional_integers(size_t i) const {
  if (!has(i)) return std::nullopt;
  return at::IntArrayRef(integers(i));
}

std::string Arguments::where(size_t i) const {
  return words(op_.name, ": ", op_.parameters[i].name);
}

namespace {

const std::map<std::string_view, Operator>& all_operators() {
  static const auto all = [] {
    std::map<std::string_view, Operator> found;
    for (auto part : {elementwise_operators(), shape_operators(), reduction_operators(), layer_operators()}) {
      for (Operator& op : part) found.emplace(op.name, std::move(op));
    }
    return found;
  }();
  return all;
}

}  // namespace

const Operator& find_operator(std::string_view name) {
  const auto found = all_operators().find(name);
  if (found == all_operators().end()) throw bad_value("operator", "the name of one", in_quotes(name));
  return found->second;
}

std::vector<std::string> operator_names() {
  std::vector<std::string> names;
  for (const auto& [name, op] : all_operators()) names.emplace_back(name);
  return names;
}

}  // namespace eam::nn
