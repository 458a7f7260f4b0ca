#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <utility>
#include <vector>

#include "nn/recorded/operator.h"

namespace eam::nn {

// A function of tensors, as the operators that it calls.
class Program {
 public:
  // The inputs have the shapes and dtypes that they were recorded with. Under autograd where that is on; what is not
  // needed any more is let go of on the way.
  at::Tensor run(const std::vector<at::Tensor>& inputs) const;

  // Whether an operator takes this input, or it is the result.
  bool uses(size_t input) const { return used_[input]; }

 private:
  friend class Recorder;

  struct Call {
    const Operator* op;
    std::vector<Operand> operands;
    size_t result;
    std::vector<size_t> spent;  // values that no later call takes
  };

  size_t inputs_ = 0;
  std::vector<std::pair<size_t, at::Tensor>> constants_;
  std::vector<Call> calls_;
  size_t values_ = 0, output_ = 0;
  std::vector<bool> used_;
};

// Makes a Program, call by call. Values are known by their shapes and dtypes alone.
class Recorder {
 public:
  explicit Recorder(at::Device device) : device_(device) {}

  // Inputs come first. `trained`: whether training changes it.
  ValueId input(const at::Tensor& like, bool trained);

  // A tensor with numbers, on the program's device: the program keeps it.
  ValueId constant(const at::Tensor& tensor);

  // What the operator throws where its arguments do not fit: Error(shape), or LibTorch's own.
  ValueId call(const Operator& op, std::vector<Operand> operands);

  // On the meta device.
  const at::Tensor& value(ValueId id) const { return metas_[id.index]; }

  // Whether it depends on an input that is trained.
  bool trained(ValueId id) const { return trained_[id.index]; }

  at::Device device() const { return device_; }

  // The program that computes `output`; nothing is recorded after it.
  std::shared_ptr<const Program> finish(ValueId output);

 private:
  ValueId add(at::Tensor meta, bool trained);

  const at::Device device_;
  std::vector<at::Tensor> metas_;
  std::vector<bool> trained_;
  Program program_;
};

}  // namespace eam::nn
