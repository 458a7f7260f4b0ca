#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace eam::nn {

// What an operator takes as one of its arguments.
enum class Takes {
  tensor,
  optional_tensor,
  tensors,  // at least one
  summand,  // a tensor or a number
  number,   // finite
  optional_number,
  integer,
  optional_integer,
  integers,
  optional_integers,
  flag,
  dtype,  // one of the floating-point types
  text,   // one of a few words
};

struct Parameter {
  std::string_view name;
  Takes takes;
  std::vector<std::string> words = {};
};

// A tensor of a program, by its number there.
struct ValueId {
  size_t index;
};

// An argument as it is recorded; nothing for one that was left out.
using Operand = std::variant<std::monostate, ValueId, std::vector<ValueId>, double, int64_t, std::vector<int64_t>, bool,
                             at::ScalarType, std::string>;

struct Operator;

// The arguments of one call, with the tensors that the operands stand for.
class Arguments {
 public:
  Arguments(const Operator& op, const std::vector<Operand>& operands, const std::vector<at::Tensor>& values)
      : op_(op), operands_(operands), values_(values) {}

  const at::Tensor& tensor(size_t i) const { return values_[std::get<ValueId>(operands_[i]).index]; }
  std::optional<at::Tensor> optional_tensor(size_t i) const;
  std::vector<at::Tensor> tensors(size_t i) const;
  // A number as a tensor that decides no dtype, as LibTorch treats numbers.
  at::Tensor summand(size_t i) const;
  double number(size_t i) const { return std::get<double>(operands_[i]); }
  bool has(size_t i) const { return !std::holds_alternative<std::monostate>(operands_[i]); }
  int64_t integer(size_t i) const { return std::get<int64_t>(operands_[i]); }
  std::optional<int64_t> optional_integer(size_t i) const;
  const std::vector<int64_t>& integers(size_t i) const { return std::get<std::vector<int64_t>>(operands_[i]); }
  at::OptionalIntArrayRef optional_integers(size_t i) const;
  bool flag(size_t i) const { return std::get<bool>(operands_[i]); }
  at::ScalarType dtype(size_t i) const { return std::get<at::ScalarType>(operands_[i]); }
  const std::string& text(size_t i) const { return std::get<std::string>(operands_[i]); }

  // "conv2d: stride"
  std::string where(size_t i) const;

 private:
  const Operator& op_;
  const std::vector<Operand>& operands_;
  const std::vector<at::Tensor>& values_;
};

// A differentiable operator on tensors, by its name in JavaScript. On the meta device, which holds no numbers, it says
// what shape and dtype its result has.
struct Operator {
  std::string_view name;
  std::vector<Parameter> parameters;
  at::Tensor (*run)(const Arguments& arguments);
};

// The operator of this name; Error(config) for any other.
const Operator& find_operator(std::string_view name);

std::vector<std::string> operator_names();

// Each function lists the operators of one file; find_operator knows them all.
std::vector<Operator> elementwise_operators();
std::vector<Operator> shape_operators();
std::vector<Operator> reduction_operators();
std::vector<Operator> layer_operators();

}  // namespace eam::nn
