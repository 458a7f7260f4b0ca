#pragma once

// What most files of the core read of LibTorch, parsed once for all of them; cmake/CompileTogether.cmake. Not
// ATen/ATen.h or other lists of all operators: files name those that they call (ATen/ops/NAME.h).
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
