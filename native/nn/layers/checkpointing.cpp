#include "nn/layers/checkpointing.h"

#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <c10/util/ScopeExit.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <algorithm>
#include <utility>

#include "ops/error.h"

namespace eam::nn {

namespace {

thread_local bool runs_again = false;

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A context keeps nothing but tensors and IValues.
struct Held final : torch::CustomClassHolder {
  explicit Held(Segment segment) : segment(std::move(segment)) {}
  const Segment segment;
};

struct Checkpoint : torch::autograd::Function<Checkpoint> {
  // tensors: `inputs` activations, then the parameters. A TensorList, because of a vector autograd would see nothing.
  static variable_list forward(AutogradContext* context, const Segment& segment, at::TensorList tensors,
                               int64_t inputs) {
    context->saved_data["segment"] = c10::IValue::make_capsule(c10::make_intrusive<Held>(segment));
    context->saved_data["inputs"] = inputs;
    context->save_for_backward(tensors.vec());
    context->set_materialize_grads(false);
    const auto done = c10::make_scope_exit([outer = std::exchange(runs_again, true)] { runs_again = outer; });
    return segment(tensors.slice(0, inputs).vec());
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    if (at::GradMode::is_enabled()) {
      throw Error(ErrorKind::config, "a checkpointed network has no second derivatives: load it without checkpointing");
    }
    variable_list tensors = context->get_saved_variables();
    const int64_t inputs = context->saved_data["inputs"].toInt();
    const auto& held = static_cast<const Held&>(*context->saved_data["segment"].toCapsule());

    // Gradients with respect to the segment, its tensors and the number of inputs, in that order.
    variable_list gradients(tensors.size() + 2);
    variable_list wanted;
    std::vector<size_t> places;
    variable_list activations;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const bool needed = tensors[i].requires_grad() && context->needs_input_grad(i);
      if (i < static_cast<size_t>(inputs)) {
        tensors[i] = tensors[i].detach().requires_grad_(needed);
        activations.push_back(tensors[i]);
      }
      if (!needed) continue;
      wanted.push_back(tensors[i]);
      places.push_back(1 + i);
    }

    at::AutoGradMode record(true);
    const variable_list outputs = held.segment(activations);
    variable_list roots, root_gradients;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!upstream[i].defined() || !outputs[i].requires_grad()) continue;
      roots.push_back(outputs[i]);
      root_gradients.push_back(upstream[i]);
    }
    if (roots.empty() || wanted.empty()) return gradients;
    const variable_list found = torch::autograd::grad(roots, wanted, root_gradients, false, false, true);
    for (size_t i = 0; i < places.size(); ++i) gradients[places[i]] = found[i];
    return gradients;
  }
};

}  // namespace

bool in_checkpoint() {
  return runs_again;
}

std::vector<at::Tensor> checkpoint(const Segment& segment, const std::vector<at::Tensor>& inputs,
                                   const std::vector<at::Tensor>& parameters) {
  const auto trains = [](const at::Tensor& tensor) { return tensor.requires_grad(); };
  if (!at::GradMode::is_enabled() || (std::none_of(inputs.begin(), inputs.end(), trains) &&
                                      std::none_of(parameters.begin(), parameters.end(), trains))) {
    return segment(inputs);
  }
  variable_list tensors = inputs;
  tensors.insert(tensors.end(), parameters.begin(), parameters.end());
  return Checkpoint::apply(segment, at::TensorList(tensors), static_cast<int64_t>(inputs.size()));
}

}  // namespace eam::nn
