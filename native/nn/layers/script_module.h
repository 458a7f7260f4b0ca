#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/jit_exception.h>

#include <exception>
#include <new>
#include <string>

#include "ops/error.h"

// Modules of TorchScript: their loading, their signatures, and their errors without torch's backtraces. LibTorch's
// headers of TorchScript are slow to compile, so the files that include this one are compiled as a group of their own.
namespace eam::nn {

// A module on `device`, whatever device it was saved on, in evaluation mode; its code is run from now on. Error(config)
// says why the file is no module, or has no method `forward`, after `where`.
torch::jit::Module load_script(const std::string& path, at::Device device, const std::string& where = "");

// What forward takes, without `self`.
c10::ArrayRef<c10::Argument> arguments_of(const torch::jit::Module& module);

c10::ArrayRef<c10::Argument> returns_of(const torch::jit::Module& module);

// "forward(x: Tensor, t: Tensor) -> Tensor"
std::string signature_of(const torch::jit::Module& module);

// Whether an argument takes any tensor.
bool takes_tensor(const c10::Argument& argument);

// No gradient is taken to any of the module's tensors from now on.
void freeze(torch::jit::Module& module);

// "mat1 and mat2 shapes cannot be multiplied ("model.py", line 12, in forward)" out of the interpreter's report, which
// quotes the source around each call and ends with the message. `original`: the message, where it is known apart.
std::string failure_of(const std::string& report, const std::string& original);

// The message of an exception that the script raised.
std::string failure_of(const torch::jit::JITException& error);

// The first line of the message of an error of torch's, without the place in torch's own source.
std::string first_line(const std::string& text);

// Does `work`, and throws Error(config) "DOING: WHY" for whatever torch or the script throws, but for a lack of memory.
template <class Work>
auto explained(const std::string& doing, const Work& work) {
  const auto failure = [&](const std::string& why) { return Error(ErrorKind::config, doing + ": " + why); };
  try {
    return work();
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const torch::jit::JITException& error) {
    throw failure(failure_of(error));
  } catch (const c10::Error& error) {
    throw failure(first_line(error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw failure(failure_of(error.what(), ""));
  }
}

}  // namespace eam::nn
