#include "nn/rewards/torchscript_reward.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/jit_exception.h>
#include <torch/csrc/jit/serialization/import.h>

#include "nn/layers/checks.h"
#include "ops/error.h"

namespace eam::nn {

struct TorchScriptReward::Script {
  torch::jit::Module module;
};

namespace {

enum class Input { images, prompts, tensor, fallback };

Input input_of(const c10::Argument& argument, size_t position) {
  if (position == 0) return Input::images;
  if (argument.type()->isSubtypeOf(*c10::ListType::ofStrings())) return Input::prompts;
  if (c10::TensorType::get()->isSubtypeOf(*argument.type())) return Input::tensor;
  return Input::fallback;
}

// Without `self`.
c10::ArrayRef<c10::Argument> arguments_of(const torch::jit::Module& module) {
  return c10::ArrayRef<c10::Argument>(module.get_method("forward").function().getSchema().arguments()).slice(1);
}

std::string signature_of(const torch::jit::Module& module) {
  std::string text;
  for (const c10::Argument& argument : arguments_of(module)) {
    text += (text.empty() ? "" : ", ") + argument.name() + ": " + argument.type()->annotation_str();
  }
  std::string results;
  for (const c10::Argument& result : module.get_method("forward").function().getSchema().returns()) {
    results += (results.empty() ? "" : ", ") + result.type()->annotation_str();
  }
  return "forward(" + text + ") -> " + results;
}

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::config, message);
}

std::string line_from(const std::string& text, size_t begin) {
  return text.substr(begin, text.find('\n', begin) - begin);
}

std::string first_line(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \n");
  if (begin == std::string::npos) return "unknown error";
  const std::string line = line_from(text, begin);
  // "[enforce fail at inline_container.cc:180] . file in archive is …"
  constexpr std::string_view origin = "[enforce fail at ", separator = "] . ";
  const size_t end = line.starts_with(origin) ? line.find(separator) : std::string::npos;
  return end == std::string::npos ? line : line.substr(end + separator.size());
}

// "mat1 and mat2 shapes cannot be multiplied ("model.py", line 12, in forward)" out of the interpreter's report, which
// quotes the source around each call and ends with the message.
std::string failure_of(const std::string& report, const std::string& original) {
  constexpr std::string_view label = "\nRuntimeError: ", file = "File ";
  std::string message = original;
  if (message.empty()) {
    const size_t at = report.rfind(label);
    message = at == std::string::npos ? first_line(report) : line_from(report, at + label.size());
  }
  const size_t location = report.rfind(file);
  return location == std::string::npos ? message : message + " (" + line_from(report, location + file.size()) + ")";
}

// A message that torch's own exceptions carry without their backtrace.
template <class Work>
auto explained(const char* doing, const Work& work) {
  const auto fail = [&](const std::string& why) { refuse(std::string(doing) + ": " + why); };
  try {
    return work();
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const torch::jit::JITException& error) {
    const std::string type = error.getPythonClassName().value_or("");
    const std::string message = error.getOriginalMsg().value_or("");
    const std::string name = type.substr(type.rfind('.') + 1);
    fail(failure_of(error.what(), name.empty() ? message : name + ": " + message));
  } catch (const c10::Error& error) {
    fail(first_line(error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    fail(failure_of(error.what(), ""));
  }
  __builtin_unreachable();
}

torch::jit::Module load(const std::string& path, at::Device device) {
  return explained("it cannot be loaded", [&] {
    try {
      return torch::jit::load(path, device, /*load_debug_files=*/true);
    } catch (const c10::Error& error) {
      const std::string why = error.what_without_backtrace();
      if (why.find("constants.pkl") == std::string::npos) throw;
      refuse(
          "it is an archive of torch.save, which holds weights or Python objects; save the program with "
          "torch.jit.script(module).save(…) or torch.jit.trace(module, images).save(…)");
    }
  });
}

}  // namespace

TorchScriptReward::TorchScriptReward(const std::string& path, at::Device device)
    : device_(device), script_(std::make_unique<Script>(Script{load(path, device)})) {
  torch::jit::Module& module = script_->module;
  if (!module.find_method("forward")) refuse("its module has no method `forward`");
  const auto arguments = arguments_of(module);
  const auto& returns = module.get_method("forward").function().getSchema().returns();
  const std::string signature = signature_of(module);
  if (arguments.empty() || !c10::TensorType::get()->isSubtypeOf(*arguments[0].type())) {
    throw bad_value(signature, "a first argument of type Tensor, the images",
                    arguments.empty() ? "none" : arguments[0].type()->annotation_str());
  }
  if (returns.size() != 1 || !returns[0].type()->isSubtypeOf(*c10::TensorType::get())) {
    throw bad_value(signature, "a returned Tensor with one value an image, [B] or [B, 1]",
                    returns.size() == 1 ? returns[0].type()->annotation_str() : words(returns.size(), " values"));
  }
  for (size_t i = 1; i < arguments.size(); ++i) {
    const c10::Argument& argument = arguments[i];
    const Input input = input_of(argument, i);
    const bool required = !argument.default_value();
    if (input == Input::tensor) {
      ++accepted_tensors_;
      required_tensors_ = required ? accepted_tensors_ : required_tensors_;
    } else if (input == Input::fallback && required) {
      throw bad_value(words(signature, ": ", argument.name()), "a Tensor, List[str] (the prompts) or a default",
                      argument.type()->annotation_str());
    }
  }
  module.eval();
  for (const c10::IValue& value : module.attributes()) {
    if (value.isTensor()) value.toTensor().requires_grad_(false);
  }
}

TorchScriptReward::~TorchScriptReward() = default;

void TorchScriptReward::check_images(const at::Tensor& images) const {
  if (images.dim() != 4 || images.numel() == 0) {
    throw bad_shape("images", "shape [B, channels, H, W] with at least one image", images.sizes());
  }
  check_floating_point("images", images);
  check_device_of("images", images, "the module", device_);
}

TorchScriptReward::Score TorchScriptReward::score(const at::Tensor& images, const std::vector<std::string>& prompts,
                                                  const std::vector<at::Tensor>& tensors, bool want_grad) const {
  check_images(images);
  const int64_t given = static_cast<int64_t>(tensors.size());
  if (given < required_tensors_ || given > accepted_tensors_) {
    const std::string most = accepted_tensors_ > required_tensors_ ? words(" to ", accepted_tensors_) : "";
    throw bad_value(signature_of(script_->module), words(required_tensors_, most, " tensors after the images"), given);
  }

  at::AutoGradMode grad_mode(want_grad);
  // The profiling executor rewrites the graph after its first runs, and with it the last bits of the result: a resumed
  // run, which starts with a fresh module, would not repeat an uninterrupted one.
  torch::jit::GraphOptimizerEnabledGuard unoptimized(false);
  const at::Tensor leaf = images.detach().requires_grad_(want_grad);

  std::vector<c10::IValue> inputs;
  size_t next = 0;
  for (const c10::Argument& argument : arguments_of(script_->module)) {
    switch (input_of(argument, inputs.size())) {
      case Input::images:
        // A copy: what the module does to it stays its own affair.
        inputs.emplace_back(leaf.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true));
        break;
      case Input::prompts:
        inputs.emplace_back(prompts);
        break;
      case Input::tensor:
        if (next < tensors.size()) {
          inputs.emplace_back(tensors[next++].to(device_));
          break;
        }
        [[fallthrough]];
      case Input::fallback:
        inputs.push_back(*argument.default_value());
        break;
    }
  }
  const at::Tensor output =
      explained("forward failed", [&] { return script_->module.forward(std::move(inputs)).toTensor(); });

  const int64_t batch = images.size(0);
  constexpr const char* returned = "what forward returned";
  if (!output.defined() || !(output.sizes() == at::IntArrayRef{batch} || output.sizes() == at::IntArrayRef{batch, 1})) {
    throw bad_value(returned, words("shape [", batch, "] or [", batch, ", 1], one value an image"),
                    output.defined() ? words(output.sizes()) : "no tensor");
  }
  if (!output.is_floating_point()) throw bad_value(returned, "a floating-point type", output.scalar_type());

  const at::Tensor values = output.reshape({batch}).to(at::kFloat);
  Score result;
  if (want_grad) {
    constexpr const char* detached =
        "what forward returns does not depend on the images through differentiable operations, "
        "so there is no gradient to train with";
    if (!values.requires_grad()) refuse(detached);
    result.grad = explained("the gradient failed", [&] {
      return torch::autograd::grad({values.sum()}, {leaf}, {}, std::nullopt, false, /*allow_unused=*/true)[0];
    });
    if (!result.grad.defined()) refuse(detached);
  }
  const at::Tensor host = values.detach().to(at::kCPU).contiguous();
  result.values.assign(host.const_data_ptr<float>(), host.const_data_ptr<float>() + batch);
  return result;
}

}  // namespace eam::nn
