#include "nn/torchscript/torchscript_model.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>

#include "nn/layers/checks.h"
#include "nn/layers/name_end.h"
#include "nn/torchscript/velocity_script.h"
#include "ops/error.h"
#include "ops/named_tensors.h"

namespace eam::nn {

struct TorchScriptModel::Scripts {
  VelocityScript velocity;
  std::optional<VelocityScript> pretrained;
  std::optional<torch::jit::Module> decoder;
  NamedTensors zeroed, zeros;  // parameters, and what is in their place in the pretrained pass

  // Sets the zeroed parameters to zero until the end of the scope.
  class Zeroed {
   public:
    explicit Zeroed(Scripts& scripts) : scripts_(scripts) {
      for (const auto& [name, zero] : scripts_.zeros) scripts_.velocity.set_parameter(name, zero);
    }
    ~Zeroed() {
      for (const auto& [name, parameter] : scripts_.zeroed) scripts_.velocity.set_parameter(name, parameter);
    }
    Zeroed(const Zeroed&) = delete;
    Zeroed& operator=(const Zeroed&) = delete;

   private:
    Scripts& scripts_;
  };
};

namespace {

constexpr size_t listed = 8;  // a message of a thousand names helps nobody

bool has(const NamedTensors& tensors, const std::string& name) {
  return std::any_of(tensors.begin(), tensors.end(), [&name](const auto& each) { return each.first == name; });
}

// Copies weights into the parameters of their names, of which there may be others. Error(checkpoint) for one that is
// no parameter.
void take(const NamedTensors& weights, const NamedTensors& parameters, const std::string& path) {
  NamedTensors targets;
  for (const auto& parameter : parameters) {
    if (has(weights, parameter.first)) targets.push_back(parameter);
  }
  copy_named(targets, weights, path);
}

// The tensors whose names end in one of these. Error(config) for an end that no name has.
NamedTensors ending_in(const std::vector<std::string>& ends, const NamedTensors& tensors, const std::string& where) {
  for (const std::string& end : ends) {
    if (std::any_of(tensors.begin(), tensors.end(), [&](const auto& each) { return ends_in(each.first, end); }))
      continue;
    std::string known;
    for (size_t i = 0; i < std::min(tensors.size(), listed); ++i) known += (i ? ", " : "") + tensors[i].first;
    if (tensors.size() > listed) known += words(" and ", tensors.size() - listed, " more");
    throw bad_value(where, "ends of parameters' names", words(in_quotes(end), "; the parameters are ", known));
  }
  NamedTensors found;
  for (const auto& [name, tensor] : tensors) {
    if (std::any_of(ends.begin(), ends.end(), [&name = name](const auto& end) { return ends_in(name, end); }))
      found.emplace_back(name, tensor);
  }
  return found;
}

Conditioning first_row(const Conditioning& conditioning) {
  Conditioning row;
  for (const at::Tensor& tensor : conditioning) row.push_back(tensor.slice(0, 0, 1));
  return row;
}

}  // namespace

TorchScriptModel::TorchScriptModel(const TorchScriptModelConfig& config, const NamedTensors& weights, at::Device device)
    : config_(config), device_(device) {
  const std::optional<std::string> flag = config.pretrained ? config.pretrained->flag : std::nullopt;
  scripts_ = std::make_unique<Scripts>(
      Scripts{VelocityScript(config.module, config.convention, config.conditioning, flag, device), {}, {}, {}, {}});
  parameters_ = scripts_->velocity.parameters();
  freeze(scripts_->velocity.module());
  take(weights, parameters_, config.module);
  if (config.pretrained) choose_pretrained(weights);
  choose_trainable();
  if (config.decoder) {
    torch::jit::Module decoder = load_script(*config.decoder, device, *config.decoder + ": ");
    freeze(decoder);
    const auto arguments = arguments_of(decoder);
    const auto is_open = [](const c10::Argument& argument) { return !argument.default_value(); };
    if (arguments.empty() || !takes_tensor(arguments[0]) ||
        std::any_of(arguments.begin() + 1, arguments.end(), is_open))
      throw bad_value(*config.decoder, "a forward of one Tensor, the latents", signature_of(decoder));
    scripts_->decoder = std::move(decoder);
  } else if (config.shape.size() != 3) {
    throw bad_value("decoder",
                    "a module that makes images of the latents, whose shape is not [channels, height, width]", "none");
  }
}

TorchScriptModel::~TorchScriptModel() = default;

void TorchScriptModel::choose_trainable() {
  NamedTensors chosen = config_.trainable
                            ? ending_in(*config_.trainable, parameters_, words(config_.module, ": trainable"))
                            : scripts_->velocity.required_gradient();
  if (config_.pretraining && config_.pretrained) {
    const NamedTensors& zeroed = scripts_->zeroed;
    for (const auto& parameter : parameters_) {
      if (!has(chosen, parameter.first) && !has(zeroed, parameter.first)) trainable_.push_back(parameter);
    }
  } else {
    trainable_ = std::move(chosen);
  }
  for (const auto& [name, tensor] : trainable_) {
    if (tensor.scalar_type() != at::kFloat)
      throw bad_value(words(config_.module, ": ", name), "float32, to be trained", tensor.scalar_type());
    tensor.requires_grad_(true);
  }
}

void TorchScriptModel::choose_pretrained(const NamedTensors& weights) {
  const PretrainedPass& pass = *config_.pretrained;
  const int ways = (pass.module ? 1 : 0) + (pass.flag ? 1 : 0) + (pass.zeroed.empty() ? 0 : 1);
  if (ways != 1) throw bad_value("pretrained", "one of module, flag and zeroed", ways);
  if (pass.module) {
    scripts_->pretrained.emplace(*pass.module, config_.convention, config_.conditioning, std::nullopt, device_);
    freeze(scripts_->pretrained->module());
    // A pretrained module from the same file is a frozen copy of the model, with the weights that it was given.
    if (*pass.module == config_.module) take(weights, scripts_->pretrained->parameters(), *pass.module);
  }
  if (pass.zeroed.empty()) return;
  scripts_->zeroed = ending_in(pass.zeroed, parameters_, words(config_.module, ": pretrained.zeroed"));
  for (const auto& [name, tensor] : scripts_->zeroed)
    scripts_->zeros.emplace_back(name, at::zeros_like(tensor).detach());
}

void TorchScriptModel::check(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) const {
  if (x.dim() < 1 || x.sizes().slice(1) != at::IntArrayRef(config_.shape) || x.size(0) == 0) {
    throw bad_shape("x", words("at least one sample of shape ", at::IntArrayRef(config_.shape), ", [B, …]"), x.sizes());
  }
  const int64_t batch = x.size(0);
  if (t.dim() != 1 || t.size(0) != batch) {
    throw bad_shape("t", words("shape [", batch, "], one time a sample of x"), t.sizes());
  }
  check_device_of("x", x, "the model", device_);
  // Algorithms know a batch by its conditioning: a network without any has one tensor that holds nothing.
  if (config_.conditioning.empty() && conditioning.size() == 1 && conditioning[0].numel() == 0) return;
  if (conditioning.size() != config_.conditioning.size()) {
    throw bad_shape("conditioning", words(config_.conditioning.size(), " tensors"), conditioning.size());
  }
  for (size_t i = 0; i < conditioning.size(); ++i) {
    const std::string where = words("conditioning[", i, "], ", config_.conditioning[i]);
    if (conditioning[i].dim() < 1 || conditioning[i].size(0) != batch) {
      throw bad_shape(where, words(batch, " samples in its first dimension"), words("shape ", conditioning[i].sizes()));
    }
    check_device_of(where, conditioning[i], "the model", device_);
  }
}

at::Tensor TorchScriptModel::velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) {
  check(x, t, conditioning);
  const bool trained_flag = config_.pretrained && !config_.pretrained->flag_value;
  const at::Tensor velocity =
      config_.pretraining ? pretrained_pass(x, t, conditioning) : scripts_->velocity(x, t, conditioning, trained_flag);
  if (at::GradMode::is_enabled() && !velocity.requires_grad() && (!trainable_.empty() || x.requires_grad())) {
    throw Error(ErrorKind::config, words(config_.module, ": what forward returns does not depend on ",
                                         trainable_.empty() ? "x" : "the parameters that are trained",
                                         " through differentiable operations, so there is no gradient to train with"));
  }
  return velocity;
}

at::Tensor TorchScriptModel::pretrained_velocity(const at::Tensor& x, const at::Tensor& t,
                                                 const Conditioning& conditioning) {
  check(x, t, conditioning);
  if (!frozen_is_checked_ && !config_.pretraining) check_frozen(x, t, conditioning);
  const at::Tensor velocity = pretrained_pass(x, t, conditioning);
  if (at::GradMode::is_enabled() && x.requires_grad() && !velocity.requires_grad()) {
    throw Error(ErrorKind::config, words(config_.module,
                                         ": the pretrained velocity does not depend on x through differentiable "
                                         "operations, so the reward's gradient cannot be carried through it"));
  }
  return velocity;
}

at::Tensor TorchScriptModel::pretrained_pass(const at::Tensor& x, const at::Tensor& t,
                                             const Conditioning& conditioning) {
  if (scripts_->pretrained) return (*scripts_->pretrained)(x, t, conditioning, false);
  const Scripts::Zeroed zeroed(*scripts_);
  return scripts_->velocity(x, t, conditioning, config_.pretrained && config_.pretrained->flag_value);
}

void TorchScriptModel::check_frozen(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) {
  frozen_is_checked_ = true;
  if (scripts_->pretrained || !config_.pretrained || trainable_.empty()) return;
  const at::AutoGradMode with_gradient(true);
  const at::Tensor velocity =
      pretrained_pass(x.slice(0, 0, 1).detach(), t.slice(0, 0, 1).detach(), first_row(conditioning));
  if (!velocity.requires_grad()) return;
  std::vector<at::Tensor> wanted;
  for (const auto& [name, tensor] : trainable_) wanted.push_back(tensor);
  // Not all ones: a sum may be constant where its terms are not.
  const at::Tensor upstream = at::linspace(1, 2, velocity.numel(), velocity.options()).reshape(velocity.sizes());
  const auto gradients = torch::autograd::grad({velocity}, wanted, {upstream}, std::nullopt, false,
                                               /*allow_unused=*/true);
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined() || !gradients[i].ne(0).any().item<bool>()) continue;
    frozen_is_checked_ = false;
    throw Error(ErrorKind::config,
                words(config_.module, ": pretrained: the pretrained velocity depends on ", trainable_[i].first,
                      ", which is trained, so that training would change what it is held against"));
  }
}

at::Tensor TorchScriptModel::images(const at::Tensor& latents) {
  if (!scripts_->decoder) return latents.mul(0.5).add(0.5);
  const std::string& path = *config_.decoder;
  torch::jit::GraphOptimizerEnabledGuard unoptimized(false);
  const std::string given = words("latents ", latents.scalar_type(), " ", latents.sizes());
  const at::Tensor images = explained(words(path, ": forward failed, given ", given), [&] {
    return scripts_->decoder->forward({latents.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true)}).toTensor();
  });
  if (!images.defined() || images.dim() != 4 || images.size(0) != latents.size(0) || !images.is_floating_point()) {
    throw bad_value(words(path, ": what forward returned, given ", given),
                    words("images, floating, of shape [", latents.size(0), ", channels, height, width]"),
                    images.defined() ? words(images.scalar_type(), " ", images.sizes()) : "no tensor");
  }
  if (at::GradMode::is_enabled() && latents.requires_grad() && !images.requires_grad()) {
    throw Error(ErrorKind::config, words(path,
                                         ": the images do not depend on the latents through differentiable "
                                         "operations, so the reward's gradient cannot be carried through it"));
  }
  return images.to(at::kFloat);
}

}  // namespace eam::nn
