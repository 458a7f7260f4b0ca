#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "ops/distances.h"
#include "ops/gaussian_mixture.h"
#include "ops/quadratic.h"

// What `eam fidelity` needs beyond a trainer: exact answers, a reward to tilt them by, distances.
namespace eam::addon {
namespace {

std::vector<std::vector<double>> to_rows(Napi::Value value, const std::string& where) {
  if (!value.IsArray()) refuse(where, "an array of arrays", value);
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::vector<double>> rows;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    rows.push_back(to_numbers(array.Get(i), where + "[" + std::to_string(i) + "]"));
  }
  return rows;
}

ops::GaussianMixture to_mixture(Napi::Value value, const char* function) {
  const Options options(value, function, {"means", "variances", "weights"});
  return {to_rows(options.get("means"), options.where("means")),
          to_rows(options.get("variances"), options.where("variances")), options.numbers("weights")};
}

Napi::Value from_double(Napi::Env env, double value) {
  return Napi::Number::New(env, value);
}

// quadratic(x, { linear, quadratic, center }, wantGrad)
Napi::Value quadratic(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const Options options(info[1], "quadratic", {"linear", "quadratic", "center"});
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [x = to_tensor(info[0], "quadratic: x"),
             form = ops::Quadratic{options.numbers("linear"), options.numbers("quadratic"), options.numbers("center")},
             want_grad = to_boolean(info[2], "quadratic: wantGrad")] { return ops::quadratic(x, form, want_grad); },
            [](Napi::Env env, ops::QuadraticValues result) {
              Napi::Object object = Napi::Object::New(env);
              object.Set("values", from_floats(env, result.values));
              if (result.grad.defined()) object.Set("grad", wrap_tensor(env, std::move(result.grad)));
              return object;
            });
  });
}

// drawMixture(mixture, count, seed, device)
Napi::Value draw_mixture(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const std::string where = "drawMixture: device";
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [mixture = to_mixture(info[0], "drawMixture"), count = to_integer(info[1], "drawMixture: count"),
             seed = to_uint64(info[2], "drawMixture: seed"),
             device = device_of(to_string(info[3], where), where)] { return ops::draw(mixture, count, seed, device); },
            [](Napi::Env env, at::Tensor samples) { return wrap_tensor(env, std::move(samples)); });
  });
}

// mixtureMeanLogDensity(mixture, samples)
Napi::Value mixture_mean_log_density(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [mixture = to_mixture(info[0], "mixtureMeanLogDensity"),
             samples = to_tensor(info[1], "mixtureMeanLogDensity: samples")] {
              return ops::mean_log_density(mixture, samples);
            },
            from_double);
  });
}

// fitMixtureWeights(mixture, samples)
Napi::Value fit_mixture_weights(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [mixture = to_mixture(info[0], "fitMixtureWeights"),
             samples = to_tensor(info[1], "fitMixtureWeights: samples")] { return ops::fit_weights(mixture, samples); },
            [](Napi::Env env, const std::vector<double>& weights) {
              Napi::Array array = Napi::Array::New(env, weights.size());
              for (uint32_t i = 0; i < weights.size(); ++i) array.Set(i, weights[i]);
              return array;
            });
  });
}

// medianDistance(samples)
Napi::Value median_distance(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [samples = to_tensor(info[0], "medianDistance: samples")] { return ops::median_distance(samples); },
            from_double);
  });
}

// meanKernel(x, y, bandwidths); without y, over the pairs of different samples of x
Napi::Value mean_kernel(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    std::optional<at::Tensor> y;
    if (!info[1].IsUndefined()) y = to_tensor(info[1], "meanKernel: y");
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [x = to_tensor(info[0], "meanKernel: x"), y, bandwidths = to_numbers(info[2], "meanKernel: bandwidths")] {
              return y ? ops::mean_kernel(x, *y, bandwidths) : ops::mean_kernel(x, bandwidths);
            },
            from_double);
  });
}

// slicedWasserstein(x, y, projections, seed)
Napi::Value sliced_wasserstein(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [x = to_tensor(info[0], "slicedWasserstein: x"), y = to_tensor(info[1], "slicedWasserstein: y"),
             projections = to_integer(info[2], "slicedWasserstein: projections"),
             seed = to_uint64(info[3], "slicedWasserstein: seed")] {
              return ops::sliced_wasserstein(x, y, projections, seed);
            },
            from_double);
  });
}

// entropy(samples, k)
Napi::Value entropy(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [samples = to_tensor(info[0], "entropy: samples"), k = to_integer(info[1], "entropy: k")] {
              return ops::entropy(samples, k);
            },
            from_double);
  });
}

}  // namespace

void define_fidelity(Napi::Env env, Napi::Object exports) {
  exports.Set("quadratic", Napi::Function::New<quadratic>(env, "quadratic"));
  exports.Set("drawMixture", Napi::Function::New<draw_mixture>(env, "drawMixture"));
  exports.Set("mixtureMeanLogDensity", Napi::Function::New<mixture_mean_log_density>(env, "mixtureMeanLogDensity"));
  exports.Set("fitMixtureWeights", Napi::Function::New<fit_mixture_weights>(env, "fitMixtureWeights"));
  exports.Set("medianDistance", Napi::Function::New<median_distance>(env, "medianDistance"));
  exports.Set("meanKernel", Napi::Function::New<mean_kernel>(env, "meanKernel"));
  exports.Set("slicedWasserstein", Napi::Function::New<sliced_wasserstein>(env, "slicedWasserstein"));
  exports.Set("entropy", Napi::Function::New<entropy>(env, "entropy"));
}

}  // namespace eam::addon
