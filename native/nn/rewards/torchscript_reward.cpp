#include "nn/rewards/torchscript_reward.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "nn/layers/checks.h"
#include "nn/layers/script_module.h"
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
  if (takes_tensor(argument)) return Input::tensor;
  return Input::fallback;
}

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::config, message);
}

}  // namespace

TorchScriptReward::TorchScriptReward(const std::string& path, at::Device device)
    : device_(device), script_(std::make_unique<Script>(Script{load_script(path, device)})) {
  torch::jit::Module& module = script_->module;
  const auto arguments = arguments_of(module);
  const auto returns = returns_of(module);
  const std::string signature = signature_of(module);
  if (arguments.empty() || !takes_tensor(arguments[0])) {
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
  freeze(module);
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
