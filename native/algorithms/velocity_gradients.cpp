#include "algorithms/velocity_gradients.h"

#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>
#include <sstream>

#include "ops/checks.h"
#include "ops/error.h"

namespace eam {

VelocityGradients velocity_gradients(FlowModel& model, const at::Tensor& x, const at::Tensor& t,
                                     const Conditioning& conditioning, const at::Tensor& upstream,
                                     const std::vector<std::string>& names) {
  const NamedTensors trainable = model.trainable();
  const std::map<std::string, at::Tensor> offered(trainable.begin(), trainable.end());
  std::vector<at::Tensor> wanted = {x.detach().requires_grad_(true)};
  for (const std::string& name : names) {
    const auto found = offered.find(name);
    if (found == offered.end()) {
      throw bad_value("names", words("those of the model's ", offered.size(), " trainable tensors (trainableNames)"),
                      in_quotes(name));
    }
    wanted.push_back(found->second);
  }
  const at::Tensor velocity = model.velocity(wanted[0], t, conditioning);
  ops::check_like({upstream, "upstream"}, velocity, "the velocity");
  std::vector<at::Tensor> found = torch::autograd::grad({velocity}, wanted, {upstream.to(velocity.scalar_type())},
                                                        std::nullopt, false, /*allow_unused=*/true);
  for (size_t i = 0; i < found.size(); ++i) {
    if (!found[i].defined()) found[i] = at::zeros_like(wanted[i]).detach();
  }
  VelocityGradients result = {velocity.detach(), found[0], {}};
  for (size_t i = 0; i < names.size(); ++i) result.tensors.emplace_back(names[i], found[i + 1]);
  return result;
}

}  // namespace eam
