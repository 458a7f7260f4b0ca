#include "nn/recorded/program.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <iterator>

namespace eam::nn {

namespace {

std::vector<size_t> values_of(const std::vector<Operand>& operands) {
  std::vector<size_t> values;
  for (const Operand& operand : operands) {
    if (const auto* value = std::get_if<ValueId>(&operand)) values.push_back(value->index);
    if (const auto* several = std::get_if<std::vector<ValueId>>(&operand)) {
      for (const ValueId value : *several) values.push_back(value.index);
    }
  }
  return values;
}

at::Tensor like_on_meta(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), at::device(at::kMeta).dtype(tensor.scalar_type()));
}

}  // namespace

at::Tensor Program::run(const std::vector<at::Tensor>& inputs) const {
  std::vector<at::Tensor> values(values_);
  std::copy(inputs.begin(), inputs.end(), values.begin());
  for (const auto& [index, tensor] : constants_) values[index] = tensor;
  for (const Call& call : calls_) {
    values[call.result] = call.op->run(Arguments(*call.op, call.operands, values));
    for (const size_t value : call.spent) values[value].reset();
  }
  return values[output_];
}

ValueId Recorder::add(at::Tensor meta, bool trained) {
  metas_.push_back(std::move(meta));
  trained_.push_back(trained);
  return {metas_.size() - 1};
}

ValueId Recorder::input(const at::Tensor& like, bool trained) {
  ++program_.inputs_;
  return add(like_on_meta(like), trained);
}

ValueId Recorder::constant(const at::Tensor& tensor) {
  const ValueId id = add(like_on_meta(tensor), false);
  program_.constants_.emplace_back(id.index, tensor);
  return id;
}

ValueId Recorder::call(const Operator& op, std::vector<Operand> operands) {
  at::NoGradGuard no_grad;
  bool trained = false;
  for (const size_t value : values_of(operands)) trained = trained || trained_[value];
  const ValueId result = add(op.run(Arguments(op, operands, metas_)), trained);
  program_.calls_.push_back({&op, std::move(operands), result.index, {}});
  return result;
}

std::shared_ptr<const Program> Recorder::finish(ValueId output) {
  program_.values_ = metas_.size();
  program_.output_ = output.index;
  // Calls that the output does not depend on are left out, and each value is spent by the last call that takes it.
  std::vector<bool> needed(metas_.size(), false);
  needed[output.index] = true;
  std::vector<Program::Call> calls;
  for (auto call = program_.calls_.rbegin(); call != program_.calls_.rend(); ++call) {
    if (!needed[call->result]) continue;
    for (const size_t value : values_of(call->operands)) {
      if (!needed[value]) call->spent.push_back(value);
      needed[value] = true;
    }
    calls.push_back(std::move(*call));
  }
  program_.calls_.assign(std::make_move_iterator(calls.rbegin()), std::make_move_iterator(calls.rend()));
  program_.used_.assign(needed.begin(), needed.begin() + static_cast<std::ptrdiff_t>(program_.inputs_));
  std::erase_if(program_.constants_, [&](const auto& constant) { return !needed[constant.first]; });
  return std::make_shared<const Program>(std::move(program_));
}

}  // namespace eam::nn
