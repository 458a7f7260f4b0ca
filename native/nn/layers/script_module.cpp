#include "nn/layers/script_module.h"

#include <torch/csrc/jit/serialization/import.h>

#include <string_view>

namespace eam::nn {

namespace {

std::string line_from(const std::string& text, size_t begin) {
  return text.substr(begin, text.find('\n', begin) - begin);
}

}  // namespace

std::string first_line(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \n");
  if (begin == std::string::npos) return "unknown error";
  const std::string line = line_from(text, begin);
  // "[enforce fail at inline_container.cc:180] . file in archive is …"
  constexpr std::string_view origin = "[enforce fail at ", separator = "] . ";
  const size_t end = line.starts_with(origin) ? line.find(separator) : std::string::npos;
  return end == std::string::npos ? line : line.substr(end + separator.size());
}

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

std::string failure_of(const torch::jit::JITException& error) {
  const std::string type = error.getPythonClassName().value_or("");
  const std::string message = error.getOriginalMsg().value_or("");
  const std::string name = type.substr(type.rfind('.') + 1);
  return failure_of(error.what(), name.empty() ? message : name + ": " + message);
}

torch::jit::Module load_script(const std::string& path, at::Device device, const std::string& where) {
  torch::jit::Module module = explained(where + "it cannot be loaded", [&] {
    try {
      return torch::jit::load(path, device, /*load_debug_files=*/true);
    } catch (const c10::Error& error) {
      const std::string why = error.what_without_backtrace();
      if (why.find("constants.pkl") == std::string::npos) throw;
      throw Error(ErrorKind::config,
                  where +
                      "it is an archive of torch.save, which holds weights or Python objects; save the program with "
                      "torch.jit.script(module).save(…) or torch.jit.trace(module, inputs).save(…)");
    }
  });
  if (!module.find_method("forward")) throw Error(ErrorKind::config, where + "its module has no method `forward`");
  module.eval();
  return module;
}

c10::ArrayRef<c10::Argument> arguments_of(const torch::jit::Module& module) {
  return c10::ArrayRef<c10::Argument>(module.get_method("forward").function().getSchema().arguments()).slice(1);
}

c10::ArrayRef<c10::Argument> returns_of(const torch::jit::Module& module) {
  return module.get_method("forward").function().getSchema().returns();
}

std::string signature_of(const torch::jit::Module& module) {
  std::string text;
  for (const c10::Argument& argument : arguments_of(module)) {
    text += (text.empty() ? "" : ", ") + argument.name() + ": " + argument.type()->annotation_str();
  }
  std::string results;
  for (const c10::Argument& result : returns_of(module)) {
    results += (results.empty() ? "" : ", ") + result.type()->annotation_str();
  }
  return "forward(" + text + ") -> " + results;
}

bool takes_tensor(const c10::Argument& argument) {
  return c10::TensorType::get()->isSubtypeOf(*argument.type());
}

void freeze(torch::jit::Module& module) {
  for (const c10::IValue& value : module.attributes()) {
    if (value.isTensor()) value.toTensor().requires_grad_(false);
  }
}

}  // namespace eam::nn
