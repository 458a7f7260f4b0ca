// Functions of tensors that are written in JavaScript: recorded there, computed on the executor's thread.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>
#include <utility>

#include "addon/bindings/network_object.h"
#include "addon/bindings/recorded_tensor.h"
#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "nn/recorded/recorded_model.h"

namespace eam::addon {
namespace {

// A JavaScript function that native code keeps, and may let go of on any thread.
class KeptFunction {
 public:
  KeptFunction(std::shared_ptr<Keeper> keeper, Napi::Function function)
      : keeper_(std::move(keeper)),
        id_(keeper_->keep(function)),
        kept_(nullptr, [keeper = keeper_, id = id_](void*) { keeper->release(id); }) {}

  // JavaScript thread.
  Napi::Function get() const { return keeper_->value(id_).As<Napi::Function>(); }

 private:
  std::shared_ptr<Keeper> keeper_;
  Keeper::Id id_;
  std::shared_ptr<void> kept_;
};

const char* name_of(nn::RecordedPart part) {
  switch (part) {
    case nn::RecordedPart::velocity:
      return "velocity";
    case nn::RecordedPart::pretrained_velocity:
      return "pretrainedVelocity";
    case nn::RecordedPart::images:
      break;
  }
  return "images";
}

// What asks JavaScript for the programs of a model whose last inputs are `frozen` tensors and those of `trainable`.
auto asking(Napi::Env env, Napi::Function function, at::Device device, std::vector<std::string> trainable) {
  struct Asked {
    nn::RecordedPart part;
    std::vector<RecordedInput> inputs;
    std::shared_ptr<const nn::Program> program;
  };
  Executor* executor = &instance(env).executor;
  const std::shared_ptr<Keeper> keeper = instance(env).keeper;
  return [executor, keeper, function = KeptFunction(keeper, function), device, trainable = std::move(trainable)](
             nn::RecordedPart part, const std::vector<at::Tensor>& inputs) {
    const auto asked = std::make_shared<Asked>(Asked{part, {}, nullptr});
    const size_t first = inputs.size() - trainable.size();
    for (size_t i = 0; i < inputs.size(); ++i) {
      asked->inputs.push_back({inputs[i], part == nn::RecordedPart::velocity && i >= first});
    }
    executor->ask([asked, keeper, function, device](Napi::Env env) {
      try {
        const char* name = name_of(asked->part);
        asked->program = record_program(env, device, asked->inputs, name, [&](const Napi::Array& values) {
          return function.get().Call({Napi::String::New(env, name), values});
        });
      } catch (const Napi::Error& error) {
        throw ThrownError(keeper, error.Value());
      }
    });
    if (part == nn::RecordedPart::velocity) {
      std::string unused;
      for (size_t i = 0; i < trainable.size(); ++i) {
        if (!asked->program->uses(first + i)) unused += (unused.empty() ? "" : ", ") + trainable[i];
      }
      if (!unused.empty()) {
        throw Error(ErrorKind::config, words("velocity: expected every trainable tensor to be used, got no use of ",
                                             unused, "; leave out of `trainable` what nothing depends on"));
      }
    }
    return asked->program;
  };
}

// newRecordedModel({ frozen, trainable, device, dtype, latentVariance, record }): at once
Napi::Value new_recorded_model(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Options options(info[0], "newRecordedModel",
                          {"frozen", "trainable", "device", "dtype", "latentVariance", "record"});
    nn::RecordedModelParts parts;
    parts.frozen = to_lasting_tensors(options.get("frozen"), "frozen");
    parts.trainable = to_named_tensors(options.get("trainable"), "trainable");
    parts.device = device_of(options.string("device"), "device");
    parts.dtype = floating_dtype_of(options.string("dtype"), "dtype");
    parts.latent_variance = options.number("latentVariance");
    std::vector<std::string> trainable;
    for (const auto& [name, tensor] : parts.trainable) trainable.push_back(name);
    parts.record = asking(env, options.get("record").As<Napi::Function>(), parts.device, std::move(trainable));
    const auto make = [&] { return std::make_shared<nn::RecordedModel>(std::move(parts)); };
    const std::shared_ptr<nn::RecordedModel> model = instance(env).executor.call(env, make);
    Napi::Object result = Napi::Object::New(env);
    result.Set("firstValues", from_named_tensors(env, model->first_values()));
    result.Set("network", wrap_network(env, std::shared_ptr<FlowModel>(model)));
    return result;
  });
}

struct Computed {
  at::Tensor value;
  std::vector<at::Tensor> gradients;
};

Computed with_gradients(const nn::Program& program, const std::vector<at::Tensor>& inputs,
                        const std::optional<at::Tensor>& upstream) {
  at::AutoGradMode with_graph(true);
  std::vector<at::Tensor> arguments, leaves;
  for (const at::Tensor& input : inputs) {
    arguments.push_back(input.detach());
    if (input.is_floating_point()) leaves.push_back(arguments.back().requires_grad_(true));
  }
  const at::Tensor value = program.run(arguments);
  if (upstream && (upstream->sizes() != value.sizes() || upstream->device() != value.device())) {
    throw bad_shape("gradients: upstream",
                    words("the value's shape and device, ", value.sizes(), " on ", value.device()),
                    words(upstream->sizes(), " on ", upstream->device()));
  }
  Computed computed{value.detach().contiguous(), std::vector<at::Tensor>(inputs.size())};
  if (!value.requires_grad()) {
    for (size_t i = 0; i < inputs.size(); ++i) computed.gradients[i] = at::zeros_like(inputs[i]);
    return computed;
  }
  const at::Tensor weights = upstream ? upstream->to(value.scalar_type()) : at::ones_like(value);
  const auto found = torch::autograd::grad({value}, leaves, {weights}, std::nullopt, false, /*allow_unused=*/true);
  for (size_t i = 0, leaf = 0; i < inputs.size(); ++i) {
    const at::Tensor gradient = inputs[i].is_floating_point() ? found[leaf++] : at::Tensor();
    computed.gradients[i] = gradient.defined() ? gradient.detach().contiguous() : at::zeros_like(inputs[i]);
  }
  return computed;
}

// computeRecorded(function, inputs, wantGradients, upstream)
Napi::Value compute_recorded(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_promise(env, [&]() -> Napi::Value {
    const auto function = info[0].As<Napi::Function>();
    const bool want_gradients = to_boolean(info[2], "wantGradients");
    const char* where = want_gradients ? "gradients" : "compute";
    std::vector<at::Tensor> inputs = to_tensors(info[1], words(where, ": inputs"));
    std::vector<RecordedInput> recorded;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].device() != inputs[0].device()) {
        throw bad_shape(words(where, ": inputs[", i, "]"), words("device ", in_quotes(inputs[0].device().str())),
                        in_quotes(inputs[i].device().str()));
      }
      recorded.push_back({inputs[i], false});
    }
    const at::Device device = inputs.empty() ? at::Device(at::kCPU) : inputs[0].device();
    const auto program = record_program(env, device, recorded, words(where, ": what the function returned"),
                                        [&](const Napi::Array& values) { return function.Call({values}); });
    std::optional<at::Tensor> upstream;
    if (!info[3].IsUndefined()) upstream = to_tensor(info[3], "gradients: upstream");
    return instance(env).executor.submit(
        env,
        [program, inputs = std::move(inputs), upstream, want_gradients]() -> Computed {
          if (want_gradients) return with_gradients(*program, inputs, upstream);
          at::NoGradGuard no_grad;
          at::Tensor value = program->run(inputs).contiguous();
          for (const at::Tensor& input : inputs) {
            if (value.is_alias_of(input)) value = value.clone();
          }
          return {value, {}};
        },
        [](Napi::Env env, Computed computed) {
          Napi::Object result = Napi::Object::New(env);
          result.Set("value", wrap_tensor(env, std::move(computed.value)));
          Napi::Array gradients = Napi::Array::New(env, computed.gradients.size());
          for (uint32_t i = 0; i < computed.gradients.size(); ++i) {
            gradients[i] = wrap_tensor(env, std::move(computed.gradients[i]));
          }
          result.Set("gradients", gradients);
          return result;
        });
  });
}

}  // namespace

void define_recorded(Napi::Env env, Napi::Object exports) {
  exports.Set("newRecordedModel", Napi::Function::New<new_recorded_model>(env, "newRecordedModel"));
  exports.Set("computeRecorded", Napi::Function::New<compute_recorded>(env, "computeRecorded"));
}

}  // namespace eam::addon
