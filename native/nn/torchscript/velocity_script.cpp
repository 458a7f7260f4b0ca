#include "nn/torchscript/velocity_script.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>

namespace eam::nn {

namespace {

// Puts a tensor in the place of the parameter of this name, in the module within `module` that holds it.
void put(const torch::jit::Module& module, const std::string& name, const at::Tensor& value) {
  torch::jit::Module owner = module;
  size_t begin = 0;
  for (size_t dot = name.find('.'); dot != std::string::npos; begin = dot + 1, dot = name.find('.', begin)) {
    owner = owner.attr(name.substr(begin, dot - begin)).toModule();
  }
  owner.setattr(name.substr(begin), value);
}

// "x float32 [2, 3, 16, 16], t float32 [2]"
std::string description_of(const c10::ArrayRef<c10::Argument>& arguments, const std::vector<c10::IValue>& inputs) {
  std::string text;
  for (size_t i = 0; i < inputs.size(); ++i) {
    text += words(text.empty() ? "" : ", ", arguments[i].name(), " ");
    if (inputs[i].isTensor()) {
      text += words(inputs[i].toTensor().scalar_type(), " ", inputs[i].toTensor().sizes());
    } else {
      text += inputs[i].isBool() ? (inputs[i].toBool() ? "True" : "False") : "its default";
    }
  }
  return text;
}

bool takes_bool(const c10::Argument& argument) {
  return c10::BoolType::get()->isSubtypeOf(*argument.type());
}

}  // namespace

VelocityScript::VelocityScript(std::string path, VelocityConvention convention,
                               const std::vector<std::string>& conditioning, const std::optional<std::string>& flag,
                               at::Device device)
    : path_(std::move(path)), convention_(convention), module_(load_script(path_, device, path_ + ": ")) {
  read_signature(conditioning, flag);
  read_parameters();
}

void VelocityScript::read_signature(const std::vector<std::string>& conditioning,
                                    const std::optional<std::string>& flag) {
  const auto arguments = arguments_of(module_);
  const auto returns = returns_of(module_);
  const std::string where = path_ + ": " + signature_of(module_);
  if (arguments.size() < 2 || !takes_tensor(arguments[0]) || !takes_tensor(arguments[1])) {
    throw bad_value(where, "two first arguments of type Tensor, x and t", words(arguments.size(), " arguments"));
  }
  if (returns.size() != 1 || !returns[0].type()->isSubtypeOf(*c10::TensorType::get())) {
    throw bad_value(where, "a returned Tensor, the velocity",
                    returns.size() == 1 ? returns[0].type()->annotation_str() : words(returns.size(), " values"));
  }
  roles_ = {{Role::x}, {Role::t}};
  std::vector<std::string> unused = conditioning;
  bool flagged = false;
  for (size_t i = 2; i < arguments.size(); ++i) {
    const c10::Argument& argument = arguments[i];
    const auto found = std::find(conditioning.begin(), conditioning.end(), argument.name());
    if (found != conditioning.end() && takes_tensor(argument)) {
      roles_.push_back({Role::conditioning, static_cast<size_t>(found - conditioning.begin())});
      unused.erase(std::find(unused.begin(), unused.end(), argument.name()));
    } else if (flag == argument.name() && takes_bool(argument)) {
      roles_.push_back({Role::flag});
      flagged = true;
    } else if (argument.default_value()) {
      roles_.push_back({Role::fallback});
    } else {
      throw bad_value(words(where, ": ", argument.name()),
                      "a tensor of this name in the files of the conditioning, or a default", "neither");
    }
  }
  if (!unused.empty()) {
    throw bad_value(where, words("a Tensor ", unused[0], ", as the files of the conditioning hold one"), "none");
  }
  if (flag && !flagged) {
    throw bad_value(where, words("an argument ", *flag, ": bool, which asks for the pretrained velocity"), "none");
  }
}

void VelocityScript::read_parameters() {
  NamedTensors all;
  for (const auto& [name, tensor] : module_.named_parameters(/*recurse=*/true)) all.emplace_back(name, tensor);
  for (const auto& [name, tensor] : all) {
    if (!tensor.is_floating_point()) continue;
    const auto twin = std::find_if(parameters_.begin(), parameters_.end(), [&](const auto& other) {
      return other.second.is_alias_of(tensor) && tensor.numel() > 0;
    });
    if (twin == parameters_.end()) {
      parameters_.emplace_back(name, tensor);
      if (tensor.requires_grad()) required_gradient_.emplace_back(name, tensor);
      continue;
    }
    // Tied weights: the gradients of all places are one tensor's.
    if (twin->second.sizes() != tensor.sizes() || twin->second.strides() != tensor.strides() ||
        twin->second.storage_offset() != tensor.storage_offset()) {
      throw Error(ErrorKind::config, words(path_, ": the parameters ", twin->first, " ", twin->second.sizes(), " and ",
                                           name, " ", tensor.sizes(), " share some of their memory: export copies"));
    }
    twins_.emplace_back(name, twin->first);
    put(module_, name, twin->second);
  }
}

void VelocityScript::set_parameter(const std::string& name, const at::Tensor& value) {
  put(module_, name, value);
  for (const auto& [twin, original] : twins_) {
    if (original == name) put(module_, twin, value);
  }
}

std::vector<c10::IValue> VelocityScript::inputs_of(const at::Tensor& x, const at::Tensor& t,
                                                   const Conditioning& conditioning, bool flag) const {
  const auto copy = [](const at::Tensor& tensor, at::ScalarType dtype) {
    return tensor.to(dtype, /*non_blocking=*/false, /*copy=*/true);
  };
  std::vector<c10::IValue> inputs;
  for (const Role& role : roles_) {
    switch (role.kind) {
      case Role::x:
        inputs.emplace_back(copy(x, at::kFloat));
        break;
      case Role::t: {
        const at::Tensor time = copy(t, at::kFloat);
        const bool forward = convention_ == VelocityConvention::rectified_flow;
        const at::Tensor given = forward ? time : time.neg().add_(1);
        inputs.emplace_back(convention_ == VelocityConvention::sigma_1000 ? given.mul(1000) : given);
        break;
      }
      case Role::conditioning: {
        const at::Tensor& tensor = conditioning.at(role.index);
        inputs.emplace_back(copy(tensor, tensor.scalar_type()));
        break;
      }
      case Role::flag:
        inputs.emplace_back(flag);
        break;
      case Role::fallback:
        inputs.push_back(*arguments_of(module_)[inputs.size()].default_value());
        break;
    }
  }
  return inputs;
}

at::Tensor VelocityScript::operator()(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning,
                                      bool flag) {
  // The profiling executor rewrites the graph after its first runs, and with it the last bits of the result: a resumed
  // run, which starts with a fresh module, would not repeat an uninterrupted one.
  torch::jit::GraphOptimizerEnabledGuard unoptimized(false);
  const std::vector<c10::IValue> inputs = inputs_of(x, t, conditioning, flag);
  const std::string given = description_of(arguments_of(module_), inputs);
  const at::Tensor output =
      explained(words(path_, ": forward failed, given ", given), [&] { return module_.forward(inputs).toTensor(); });
  const std::string returned = words(path_, ": what forward returned, given ", given);
  if (!output.defined() || output.sizes() != x.sizes()) {
    throw bad_value(returned, words("x's shape, ", x.sizes()), output.defined() ? words(output.sizes()) : "no tensor");
  }
  if (!output.is_floating_point()) throw bad_value(returned, "a floating-point type", output.scalar_type());
  if (output.device() != x.device()) throw bad_value(returned, words("a tensor on ", x.device()), output.device());
  const at::Tensor velocity = output.to(at::kFloat);
  return convention_ == VelocityConvention::rectified_flow ? velocity : velocity.neg();
}

}  // namespace eam::nn
