#include "ops/named_tensors.h"

#include <ATen/core/grad_mode.h>

#include <map>
#include <sstream>

#include "ops/error.h"

namespace eam {

void copy_named(const NamedTensors& destination, const NamedTensors& source, std::string_view what) {
  constexpr int listed = 8;  // a message of a thousand names helps nobody
  std::map<std::string_view, const at::Tensor*> offered;
  for (const auto& [name, tensor] : source) offered.emplace(name, &tensor);

  std::ostringstream problems;
  int count = 0;
  const auto problem = [&](const auto& text) {
    if (count++ < listed) problems << "\n  " << text;
  };
  for (const auto& [name, tensor] : destination) {
    const auto found = offered.find(name);
    if (found == offered.end()) {
      problem(missing_value(name, words("shape ", tensor.sizes())).what());
      continue;
    }
    if (found->second->sizes() != tensor.sizes()) {
      problem(bad_shape(name, words("shape ", tensor.sizes()), found->second->sizes()).what());
    }
    offered.erase(found);
  }
  for (const auto& [name, tensor] : offered) {
    problem(words(name, ": unknown tensor of shape ", tensor->sizes()));
  }
  if (count > 0) {
    std::ostringstream message;
    message << count << (count == 1 ? " tensor does not fit " : " tensors do not fit ") << what << ":";
    message << problems.str();
    if (count > listed) message << "\n  and " << count - listed << " more";
    message << "\nCheck that the file was written for a model of this configuration.";
    throw Error(ErrorKind::checkpoint, message.str());
  }

  at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : source) offered.emplace(name, &tensor);
  for (const auto& [name, tensor] : destination) {
    at::Tensor target = tensor;
    target.copy_(*offered.at(name));
  }
}

}  // namespace eam
