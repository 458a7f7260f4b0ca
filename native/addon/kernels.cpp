// The formulas of docs/mathematics.md for other trainers: one options object in, a promise out.
#include "addon/addon.h"
#include "addon/convert.h"
#include "addon/instance.h"
#include "ops/ops.h"

namespace eam::addon {
namespace {

int64_t batch_of(const at::Tensor& tensor, const std::string& where) {
  if (tensor.dim() == 0) throw Error(ErrorKind::shape, where + " must have a batch dimension, got a tensor of shape []");
  return tensor.size(0);
}

// Errors begin with the function's name, as those of argument conversion do.
template <class Work>
auto named(const char* function, const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    throw Error(error.kind(), std::string(function) + ": " + error.what());
  }
}

template <class Work, class Convert>
Napi::Value run(Napi::Env env, const char* function, Work work, Convert convert) {
  return instance(env).executor.submit(env, [function, work = std::move(work)] { return named(function, work); }, convert);
}

// coefficients(t, C)
Napi::Value coefficients(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&] {
    double t = to_number(info[0], "coefficients: `t`");
    double C = to_number(info[1], "coefficients: `C`");
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
    auto words = [&](size_t index, size_t length, const char* where) {
      Napi::Value value = info[index];
      if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array ||
          value.As<Napi::TypedArray>().ElementLength() != length) {
        throw Error(ErrorKind::shape, std::string(where) + " must be a Uint32Array of length " +
                                          std::to_string(length) + ", got " + describe(value));
      }
      return value.As<Napi::Uint32Array>();
    };
    Napi::Uint32Array counter = words(0, 4, "philoxWords: `counter`");
    Napi::Uint32Array key = words(1, 2, "philoxWords: `key`");
    auto block = ops::philox_words({counter[0], counter[1], counter[2], counter[3]}, {key[0], key[1]});
    Napi::Uint32Array result = Napi::Uint32Array::New(env, 4);
    for (size_t i = 0; i < 4; ++i) result[i] = block[i];
    return result;
  });
}

Napi::Value tensor_result(Napi::Env env, at::Tensor tensor) { return wrap_tensor(env, std::move(tensor)); }

Napi::Value loss_result(Napi::Env env, ops::Loss loss) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("loss", loss.loss);
  object.Set("perSample", from_floats(env, loss.per_sample));
  object.Set("grad", wrap_tensor(env, std::move(loss.grad)));
  return object;
}

// philoxNormal(shape, { seed, stream, dtype?, device? })
Napi::Value philox_normal(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_promise(env, [&] {
    std::vector<int64_t> shape = to_shape(info[0], "philoxNormal: `shape`");
    Options options(info[1], "philoxNormal", {"seed", "stream", "dtype", "device"});
    ops::PhiloxNoise noise{options.uint64("seed"), to_streams(options.get("stream"), options.where("stream"))};
    at::ScalarType dtype = dtype_of(options.string("dtype", "float32"), options.where("dtype"));
    at::Device device = device_of(options.string("device", "cpu"), options.where("device"));
    return run(env, "philoxNormal",
        [=] { return ops::philox_normal(shape, noise, dtype, device); }, tensor_result);
  });
}

Napi::Value renoise(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_promise(env, [&] {
    Options options(info[0], "renoise", {"x1", "t", "noise", "terminalTime"});
    at::Tensor x1 = options.tensor("x1");
    std::vector<double> t = options.per_sample("t", batch_of(x1, options.where("x1")));
    ops::Noise noise = options.noise("noise");
    double terminal_time = options.number("terminalTime", 1);
    return run(env, "renoise",
        [=] { return ops::renoise(x1, t, noise, terminal_time); }, tensor_result);
  });
}

Napi::Value terminal_gradient(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_promise(env, [&] {
    Options options(info[0], "terminalGradient", {"x", "velocity", "rewardGrad", "lambda", "time"});
    return run(env, "terminalGradient",
        [x = options.tensor("x"), velocity = options.tensor("velocity"), reward_grad = options.tensor("rewardGrad"),
         lambda = options.number("lambda"), time = options.number("time")] {
          return ops::terminal_gradient(x, velocity, reward_grad, lambda, time);
        },
        tensor_result);
  });
}

Napi::Value matching_loss(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_promise(env, [&] {
    Options options(info[0], "matchingLoss", {"velocity", "x1", "terminalGradient", "t", "C", "noise", "weighting",
                                              "cap", "terminalTime"});
    at::Tensor velocity = options.tensor("velocity");
    std::vector<double> t = options.per_sample("t", batch_of(velocity, options.where("velocity")));
    ops::Matching matching;
    matching.C = options.number("C");
    matching.weighting = options.choice("weighting", matching.weighting,
        {{"velocity", ops::Weighting::velocity}, {"adjoint_matching", ops::Weighting::adjoint_matching}});
    matching.cap = options.number("cap", matching.cap);
    matching.terminal_time = options.number("terminalTime", matching.terminal_time);
    return run(env, "matchingLoss",
        [=, x1 = options.tensor("x1"), gradient = options.tensor("terminalGradient"), noise = options.noise("noise")] {
          return ops::matching_loss(velocity, x1, gradient, t, noise, matching);
        },
        loss_result);
  });
}

Napi::Value flow_matching_loss(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_promise(env, [&] {
    Options options(info[0], "flowMatchingLoss", {"velocity", "x1", "noise"});
    return run(env, "flowMatchingLoss",
        [velocity = options.tensor("velocity"), x1 = options.tensor("x1"), noise = options.noise("noise")] {
          return ops::flow_matching_loss(velocity, x1, noise);
        },
        loss_result);
  });
}

Napi::Value memoryless_step(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_promise(env, [&] {
    Options options(info[0], "memorylessStep", {"x", "velocity", "t", "h", "noise"});
    return run(env, "memorylessStep",
        [x = options.tensor("x"), velocity = options.tensor("velocity"), t = options.number("t"),
         h = options.number("h"), noise = options.noise("noise")] {
          return ops::memoryless_step(x, velocity, t, h, noise);
        },
        tensor_result);
  });
}

Napi::Value lean_adjoint_step(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_promise(env, [&] {
    Options options(info[0], "leanAdjointStep", {"adjoint", "vjp", "t", "h"});
    return run(env, "leanAdjointStep",
        [adjoint = options.tensor("adjoint"), vjp = options.tensor("vjp"), t = options.number("t"),
         h = options.number("h")] { return ops::lean_adjoint_step(adjoint, vjp, t, h); },
        tensor_result);
  });
}

}  // namespace

void define_kernels(Napi::Env env, Napi::Object exports) {
  auto add = [&](const char* name, auto function) { exports.Set(name, Napi::Function::New(env, function, name)); };
  add("coefficients", coefficients);
  add("philoxWords", philox_words);
  add("philoxNormal", philox_normal);
  add("renoise", renoise);
  add("terminalGradient", terminal_gradient);
  add("matchingLoss", matching_loss);
  add("flowMatchingLoss", flow_matching_loss);
  add("memorylessStep", memoryless_step);
  add("leanAdjointStep", lean_adjoint_step);
}

}  // namespace eam::addon
