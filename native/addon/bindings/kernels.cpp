// The formulas of docs/mathematics.md for other trainers: one options object in, a tensor or a loss out, as a promise
// or at once.
#include "addon/convert/convert.h"
#include "addon/convert/tensor.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "addon/runtime/one_thread.h"
#include "ops/kernel_options.h"
#include "ops/ops.h"

namespace eam::addon {
namespace {

int64_t batch_of(const at::Tensor& tensor, const std::string& where) {
  if (tensor.dim() == 0) throw bad_shape(where, "a batch dimension", "a tensor of shape []");
  return tensor.size(0);
}

// Each kernel is two functions: NAME, which returns a promise, and NAMESync, which computes on the calling thread.
enum class Mode { async, sync };

// Where a result goes: a Tensor of the caller's, or a new one.
struct Output {
  at::Tensor tensor;             // not defined: a new one
  Napi::ObjectReference object;  // the Tensor it came from
  TensorObject::WriteMark mark;

  Napi::Value wrap(Napi::Env env, at::Tensor result) const {
    return object.IsEmpty() ? wrap_tensor(env, std::move(result)) : object.Value();
  }
};

// A kernel's options. Synchronous calls take what is on the CPU and already written.
class Arguments : public Options {
 public:
  Arguments(Napi::Value value, const char* function, Mode mode, const OptionTable& table)
      : Options(value, function, table), function_(function), mode_(mode) {}

  const char* function() const { return function_; }

  at::Tensor tensor(const char* key) const {
    return mode_ == Mode::sync ? to_readable(get(key), where(key)) : Options::tensor(key);
  }

  ops::Noise noise(const char* key) const {
    if (is_tensor(get(key))) return {tensor(key), {}};
    return Options::noise(key);
  }

  at::Device device(const char* key) const {
    at::Device device = device_of(string(key, "cpu"), where(key));
    if (mode_ == Mode::sync) check_on_cpu(device, where(key));
    return device;
  }

  Output output(const char* key) const {
    Napi::Value value = get(key);
    if (value.IsUndefined()) return {};
    std::string name = where(key);
    TensorObject& object = to_tensor_object(value, name);
    Output output{object.get_writable(name), Napi::Persistent(value.As<Napi::Object>()), {}};
    if (mode_ == Mode::async) {
      output.mark = object.mark_write();
    } else {
      to_readable(value, name);
    }
    return output;
  }

 private:
  const char* function_;
  Mode mode_;
};

// What a kernel's arguments amount to: work for any thread, and how its result becomes a JavaScript value.
template <class Work, class Convert>
struct Prepared {
  Work work;
  Convert convert;
};

// `compute(out)` → a Tensor.
template <class Compute>
auto tensor_kernel(const Arguments& arguments, Compute compute) {
  Output output = arguments.output("out");
  auto work = [compute = std::move(compute), out = output.tensor, mark = std::move(output.mark)] {
    return compute(out);
  };
  auto convert = [output = std::move(output)](Napi::Env env, at::Tensor result) {
    return output.wrap(env, std::move(result));
  };
  return Prepared<decltype(work), decltype(convert)>{std::move(work), std::move(convert)};
}

// `compute(grad)` → { loss, perSample, grad }.
template <class Compute>
auto loss_kernel(const Arguments& arguments, Compute compute) {
  Output output = arguments.output("grad");
  auto work = [compute = std::move(compute), grad = output.tensor, mark = std::move(output.mark)] {
    return compute(grad);
  };
  auto convert = [output = std::move(output)](Napi::Env env, ops::Loss loss) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("loss", loss.loss);
    object.Set("perSample", from_floats(env, loss.per_sample));
    object.Set("grad", output.wrap(env, std::move(loss.grad)));
    return object;
  };
  return Prepared<decltype(work), decltype(convert)>{std::move(work), std::move(convert)};
}

// coefficients(t, C)
Napi::Value coefficients(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&] {
    double t = to_number(info[0], "coefficients: t");
    double C = to_number(info[1], "coefficients: C");
    ops::Coefficients c = named("coefficients", [&] { return ops::coefficients(t, C); });
    Napi::Object object = Napi::Object::New(env);
    object.Set("kappa", c.kappa);
    object.Set("Q", c.Q);
    object.Set("baseDrift", c.base_drift);
    object.Set("sigma2", c.sigma2);
    object.Set("baseVelocity", c.base_velocity);
    object.Set("adjointScale", c.adjoint_scale);
    object.Set("targetX", c.target_x);
    object.Set("targetX1", c.target_x1);
    object.Set("targetG", c.target_G);
    return object;
  });
}

// philoxWords(counter, key): one block of the generator, four words.
Napi::Value philox_words(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&] {
    const auto to_words = [&](size_t index, size_t length, const char* where) {
      Napi::Value value = info[index];
      if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array ||
          value.As<Napi::TypedArray>().ElementLength() != length) {
        throw bad_shape(where, words("a Uint32Array of length ", length), describe(value));
      }
      return value.As<Napi::Uint32Array>();
    };
    Napi::Uint32Array counter = to_words(0, 4, "philoxWords: counter");
    Napi::Uint32Array key = to_words(1, 2, "philoxWords: key");
    auto block = ops::philox_words({counter[0], counter[1], counter[2], counter[3]}, {key[0], key[1]});
    Napi::Uint32Array result = Napi::Uint32Array::New(env, 4);
    for (size_t i = 0; i < 4; ++i) result[i] = block[i];
    return result;
  });
}

// philoxNormal(shape, options)
auto philox_normal(const Napi::CallbackInfo& info, const char* name, Mode mode) {
  Arguments arguments(info[1], name, mode, ops::PhiloxNormalOptions::table());
  return tensor_kernel(
      arguments,
      [shape = to_shape(info[0], std::string(name) + ": shape"), seed = arguments.read<ops::PhiloxNormalOptions>().seed,
       streams = to_streams(arguments.get("stream"), arguments.where("stream")),
       dtype = floating_dtype_of(arguments.string("dtype", "float32"), arguments.where("dtype")),
       device = arguments.device("device")](const at::Tensor& out) {
        try {
          return ops::philox_normal(shape, {seed, streams}, dtype, device, out);
        } catch (const c10::Error& error) {
          // The one kernel whose size comes from no tensor.
          if (auto shortage = host_shortage(error, words("shape ", at::IntArrayRef(shape))))
            throw Error(ErrorKind::out_of_memory, *shortage);
          throw;
        }
      });
}

auto renoise(const Napi::CallbackInfo& info, const char* name, Mode mode) {
  Arguments arguments(info[0], name, mode, ops::RenoiseOptions::table());
  at::Tensor x1 = arguments.tensor("x1");
  return tensor_kernel(arguments, [x1, t = arguments.per_sample("t", batch_of(x1, arguments.where("x1"))),
                                   noise = arguments.noise("noise"),
                                   options = arguments.read<ops::RenoiseOptions>()](const at::Tensor& out) {
    return ops::renoise(x1, t, noise, options.terminal_time, out);
  });
}

auto terminal_gradient(const Napi::CallbackInfo& info, const char* name, Mode mode) {
  Arguments arguments(info[0], name, mode, ops::TerminalGradientOptions::table());
  return tensor_kernel(arguments, [x = arguments.tensor("x"), velocity = arguments.tensor("velocity"),
                                   reward_grad = arguments.tensor("rewardGrad"),
                                   options = arguments.read<ops::TerminalGradientOptions>()](const at::Tensor& out) {
    return ops::terminal_gradient(x, velocity, reward_grad, options.lambda, options.time, out);
  });
}

auto matching_loss(const Napi::CallbackInfo& info, const char* name, Mode mode) {
  Arguments arguments(info[0], name, mode, ops::Matching::table());
  at::Tensor velocity = arguments.tensor("velocity");
  std::vector<double> t = arguments.per_sample("t", batch_of(velocity, arguments.where("velocity")));
  if (arguments.has("x") == arguments.has("noise")) {
    throw bad_value(arguments.where("x") + " and noise", "one of them, x_t or the noise it was made with",
                    arguments.has("x") ? "both" : "neither");
  }
  std::optional<at::Tensor> x;
  std::optional<ops::Noise> noise;
  if (arguments.has("x")) x = arguments.tensor("x");
  if (arguments.has("noise")) noise = arguments.noise("noise");
  return loss_kernel(arguments, [velocity, t = std::move(t), matching = arguments.read<ops::Matching>(), x, noise,
                                 x1 = arguments.tensor("x1"),
                                 gradient = arguments.tensor("terminalGradient")](const at::Tensor& grad) {
    return x ? ops::matching_loss(velocity, *x, x1, gradient, t, matching, grad)
             : ops::matching_loss(velocity, x1, gradient, t, *noise, matching, grad);
  });
}

auto flow_matching_loss(const Napi::CallbackInfo& info, const char* name, Mode mode) {
  Arguments arguments(info[0], name, mode, ops::FlowMatchingLossOptions::table());
  return loss_kernel(arguments, [velocity = arguments.tensor("velocity"), x1 = arguments.tensor("x1"),
                                 noise = arguments.noise("noise")](const at::Tensor& grad) {
    return ops::flow_matching_loss(velocity, x1, noise, grad);
  });
}

auto memoryless_step(const Napi::CallbackInfo& info, const char* name, Mode mode) {
  Arguments arguments(info[0], name, mode, ops::MemorylessStepOptions::table());
  return tensor_kernel(arguments, [x = arguments.tensor("x"), velocity = arguments.tensor("velocity"),
                                   step = arguments.read<ops::MemorylessStepOptions>(),
                                   noise = arguments.noise("noise")](const at::Tensor& out) {
    return ops::memoryless_step(x, velocity, step.t, step.h, noise, out);
  });
}

auto lean_adjoint_step(const Napi::CallbackInfo& info, const char* name, Mode mode) {
  Arguments arguments(info[0], name, mode, ops::LeanAdjointStepOptions::table());
  return tensor_kernel(arguments, [adjoint = arguments.tensor("adjoint"), vjp = arguments.tensor("vjp"),
                                   step = arguments.read<ops::LeanAdjointStepOptions>()](const at::Tensor& out) {
    return ops::lean_adjoint_step(adjoint, vjp, step.t, step.h, out);
  });
}

// `prepare(info, name, mode)` as NAME and NAMESync. Names are literals: errors on the executor's thread use them.
template <class Prepare>
void add_kernel(Napi::Env env, Napi::Object exports, const char* name, const char* sync_name, Prepare prepare) {
  exports.Set(name, Napi::Function::New(
                        env,
                        [name, prepare](const Napi::CallbackInfo& info) {
                          return guarded_promise(info.Env(), [&]() -> Napi::Value {
                            auto [work, convert] = prepare(info, name, Mode::async);
                            return instance(info.Env())
                                .executor.submit(
                                    info.Env(), [name, work = std::move(work)] { return named(name, work); },
                                    std::move(convert));
                          });
                        },
                        name));
  exports.Set(sync_name, Napi::Function::New(
                             env,
                             [sync_name, prepare](const Napi::CallbackInfo& info) {
                               return guarded(info.Env(), [&]() -> Napi::Value {
                                 auto [work, convert] = prepare(info, sync_name, Mode::sync);
                                 OneThread one_thread;
                                 return convert(info.Env(), named(sync_name, work));
                               });
                             },
                             sync_name));
}

}  // namespace

void define_kernels(Napi::Env env, Napi::Object exports) {
  exports.Set("coefficients", Napi::Function::New<coefficients>(env, "coefficients"));
  exports.Set("philoxWords", Napi::Function::New<philox_words>(env, "philoxWords"));
  add_kernel(env, exports, "philoxNormal", "philoxNormalSync", philox_normal);
  add_kernel(env, exports, "renoise", "renoiseSync", renoise);
  add_kernel(env, exports, "terminalGradient", "terminalGradientSync", terminal_gradient);
  add_kernel(env, exports, "matchingLoss", "matchingLossSync", matching_loss);
  add_kernel(env, exports, "flowMatchingLoss", "flowMatchingLossSync", flow_matching_loss);
  add_kernel(env, exports, "memorylessStep", "memorylessStepSync", memoryless_step);
  add_kernel(env, exports, "leanAdjointStep", "leanAdjointStepSync", lean_adjoint_step);
}

}  // namespace eam::addon
