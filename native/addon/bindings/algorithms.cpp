
#include <ATen/core/Tensor.h>

#include <cmath>
#include <memory>

#include "addon/bindings/flow_model.h"
#include "addon/bindings/optimizer.h"
#include "addon/convert/convert.h"
#include "addon/convert/options.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "algorithms/adjoint_matching.h"
#include "algorithms/backpropagation.h"
#include "algorithms/eam.h"
#include "algorithms/flow_matching.h"
#include "algorithms/sampler.h"

namespace eam::addon {
namespace {

constexpr napi_type_tag rollout_tag = {0x2a95d0f36be14c78, 0xe87b13c64fa0925d};

// NativeRollout.
class RolloutObject : public Napi::ObjectWrap<RolloutObject> {
 public:
  static void define(Napi::Env env) {
    instance(env).constructor<RolloutObject>() = Napi::Persistent(DefineClass(
        env, "Rollout",
        {InstanceAccessor<&RolloutObject::endpoint>("endpoint"), InstanceAccessor<&RolloutObject::slice>("slice"),
         InstanceAccessor<&RolloutObject::forwards>("forwards"), InstanceMethod<&RolloutObject::decode>("decode"),
         InstanceMethod<&RolloutObject::carry>("carry"), InstanceMethod<&RolloutObject::dispose>("dispose")}));
  }

  static Napi::Object wrap(Napi::Env env, std::shared_ptr<Rollout> rollout) {
    Napi::Object object = instance(env).constructor<RolloutObject>().New({});
    RolloutObject& self = *Unwrap(object);
    self.endpoint_ = Napi::Persistent(wrap_tensor(env, rollout->endpoint()));
    self.slice_ = rollout->slice();
    self.forwards_ = rollout->forwards();
    self.rollout_ = std::move(rollout);
    return object;
  }

  explicit RolloutObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RolloutObject>(info) {
    info.This().As<Napi::Object>().TypeTag(&rollout_tag);
  }

  static std::shared_ptr<Rollout> get(Napi::Value value, const std::string& where) {
    if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&rollout_tag)) {
      refuse(where, "a rollout", value);
    }
    auto rollout = Unwrap(value.As<Napi::Object>())->rollout_;
    if (!rollout) throw Error(ErrorKind::disposed, where + " was disposed");
    return rollout;
  }

 private:
  Napi::Value endpoint(const Napi::CallbackInfo&) { return endpoint_.Value(); }
  Napi::Value slice(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(slice_));
  }
  Napi::Value forwards(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(forwards_));
  }

  // decode({ begin, end, keepGraph, cancellation })
  Napi::Value decode(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      const Options options(info[0], "decode", {"begin", "end", "keepGraph", "cancellation"});
      const Cancellation cancellation = options.cancellation();
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [rollout = get(info.This(), "decode: the rollout"), begin = options.integer("begin"),
               end = options.integer("end"), keep_graph = options.boolean("keepGraph", false), cancellation] {
                at::Tensor images =
                    named("decode", [&] { return rollout->decode(begin, end, keep_graph, cancellation); });
                return std::pair(std::move(images), rollout->forwards());
              },
              [this, keep = kept(info)](Napi::Env env, std::pair<at::Tensor, int64_t> decoded) {
                forwards_ = decoded.second;
                return wrap_tensor(env, std::move(decoded.first));
              },
              cancellation);
    });
  }

  // carry(rewardGrad)
  Napi::Value carry(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [rollout = get(info.This(), "carry: the rollout"), grad = to_tensor(info[0], "carry: rewardGrad")] {
                named("carry", [&] { rollout->carry(grad); });
              },
              [](Napi::Env env) { return env.Undefined(); });
    });
  }

  // Keeps the object alive while work of it is under way.
  static std::shared_ptr<Napi::ObjectReference> kept(const Napi::CallbackInfo& info) {
    return std::make_shared<Napi::ObjectReference>(Napi::Persistent(info.This().As<Napi::Object>()));
  }

  // Its endpoint is disposed of too: it is handed out once, here.
  void dispose(const Napi::CallbackInfo&) {
    if (!rollout_) return;
    rollout_.reset();
    endpoint_.Value().Get("dispose").As<Napi::Function>().Call(endpoint_.Value(), {});
  }

  std::shared_ptr<Rollout> rollout_;
  Napi::ObjectReference endpoint_;
  int64_t slice_ = 0, forwards_ = 0;
};

Napi::Object from_metrics(Napi::Env env, const StepMetrics& metrics) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("loss", metrics.loss);
  object.Set("perSample", from_floats(env, metrics.per_sample));
  object.Set("dropped", static_cast<double>(metrics.dropped));
  object.Set("clipped", static_cast<double>(metrics.clipped));
  object.Set("capped", static_cast<double>(metrics.capped));
  object.Set("forwards", static_cast<double>(metrics.forwards));
  object.Set("vjps", static_cast<double>(metrics.vjps));
  object.Set("backwards", static_cast<double>(metrics.backwards));
  object.Set("rewardGradientNorm", metrics.reward_gradient_norm);
  object.Set("scoreNorm", metrics.score_norm);
  if (metrics.modes) {
    Napi::Object modes = Napi::Object::New(env);
    modes.Set("drift", metrics.modes->drift);
    modes.Set("driftStd", metrics.modes->drift_deviation);
    modes.Set("advantage", metrics.modes->advantage);
    modes.Set("advantageStd", metrics.modes->advantage_deviation);
    modes.Set("clipped", metrics.modes->clipped);
    object.Set("modes", modes);
  }
  return object;
}

std::optional<Conditioning> to_unconditional(const Options& options) {
  if (!options.has("unconditional")) return std::nullopt;
  return options.tensors("unconditional");
}

// undefined for a reward that has none.
std::optional<at::Tensor> to_gradient(Napi::Value value, const char* where) {
  if (value.IsUndefined()) return std::nullopt;
  return to_tensor(value, where);
}

// Steps and samples are parts of stream numbers (ops/random.h).
uint64_t to_step(const Options& options) {
  const int64_t step = options.integer("step");
  if (step < 0 || step >= int64_t{1} << 32) {
    throw bad_value(options.where("step"), "a number from 0 to 2^32 − 1", step);
  }
  return static_cast<uint64_t>(step);
}

// Any RewardAlgorithm (NativeAlgorithm). A new one is one more factory beside Eam's.
class AlgorithmObject : public Napi::ObjectWrap<AlgorithmObject> {
 public:
  static void define(Napi::Env env) {
    instance(env).constructor<AlgorithmObject>() = Napi::Persistent(DefineClass(
        env, "Algorithm",
        {InstanceMethod<&AlgorithmObject::rollout>("rollout"), InstanceMethod<&AlgorithmObject::keep>("keep"),
         InstanceMethod<&AlgorithmObject::recall>("recall"), InstanceMethod<&AlgorithmObject::accumulate>("accumulate"),
         InstanceMethod<&AlgorithmObject::state>("state"), InstanceMethod<&AlgorithmObject::load>("load")}));
  }

  // new NAME(model, options): a function that returns the object, so that every algorithm shares one class.
  template <class Algorithm, class AlgorithmOptions>
  static Napi::Value create(const Napi::CallbackInfo& info, const char* name) {
    return guarded(info.Env(), [&] {
      std::shared_ptr<FlowModel> model = to_flow_model(info[0], "algorithm: model");
      auto algorithm = std::make_shared<Algorithm>(*model, to_options<AlgorithmOptions>(info[1], name));
      Napi::Object object = instance(info.Env()).constructor<AlgorithmObject>().New({});
      AlgorithmObject& self = *Unwrap(object);
      self.model_ = std::move(model);
      self.state_ = algorithm->state();
      self.algorithm_ = std::move(algorithm);
      return object;
    });
  }

  explicit AlgorithmObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<AlgorithmObject>(info) {}

 private:
  // rollout({ conditioning, unconditional?, shape, seed, step, differentiable?, cancellation })
  Napi::Value rollout(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      const Options options(
          info[0], "rollout",
          {"conditioning", "unconditional", "shape", "seed", "step", "differentiable", "cancellation"});
      const Cancellation cancellation = options.cancellation();
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [model = model_, algorithm = used(), conditioning = options.tensors("conditioning"),
               unconditional = to_unconditional(options), shape = options.shape("shape"), seed = options.uint64("seed"),
               step = to_step(options), differentiable = options.boolean("differentiable", true),
               cancellation]() -> std::shared_ptr<Rollout> {
                return algorithm->rollout(conditioning, unconditional, shape, seed, step, differentiable, cancellation);
              },
              [](Napi::Env env, std::shared_ptr<Rollout> rollout) {
                return RolloutObject::wrap(env, std::move(rollout));
              },
              cancellation);
    });
  }

  // keep(rollout, rewardGrad | undefined, cancellation)
  Napi::Value keep(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      const Cancellation cancellation = to_cancellation(info[2], "keep: cancellation");
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [model = model_, algorithm = used(), rollout = RolloutObject::get(info[0], "keep: rollout"),
               grad = to_gradient(info[1], "keep: rewardGrad"), cancellation] {
                Endpoints endpoints = algorithm->keep(*rollout, grad, cancellation);
                return std::pair(std::move(endpoints), rollout->forwards());
              },
              [](Napi::Env env, std::pair<Endpoints, int64_t> kept) {
                Endpoints& endpoints = kept.first;
                Napi::Object object = Napi::Object::New(env);
                object.Set("endpoint", wrap_tensor(env, std::move(endpoints.endpoint)));
                object.Set("velocity", wrap_tensor(env, std::move(endpoints.velocity)));
                if (endpoints.reward_gradient.defined()) {
                  object.Set("rewardGradient", wrap_tensor(env, std::move(endpoints.reward_gradient)));
                }
                object.Set("forwards", static_cast<double>(kept.second));
                object.Set("vjps", static_cast<double>(endpoints.vjps));
                return object;
              },
              cancellation);
    });
  }

  // recall({ conditioning, unconditional?, endpoint, velocity, rewardGradient?, seed, step })
  Napi::Value recall(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      const Options options(
          info[0], "recall",
          {"conditioning", "unconditional", "endpoint", "velocity", "rewardGradient", "seed", "step"});
      Endpoints endpoints{options.tensor("endpoint"), options.tensor("velocity"), {}};
      if (options.has("rewardGradient")) endpoints.reward_gradient = options.tensor("rewardGradient");
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [model = model_, algorithm = used(), conditioning = options.tensors("conditioning"),
               unconditional = to_unconditional(options), endpoints = std::move(endpoints),
               seed = options.uint64("seed"), step = to_step(options)]() -> std::shared_ptr<Rollout> {
                return algorithm->recall(conditioning, unconditional, endpoints, seed, step);
              },
              [](Napi::Env env, std::shared_ptr<Rollout> rollout) {
                return RolloutObject::wrap(env, std::move(rollout));
              });
    });
  }

  // accumulate(rollout, rewardValues, rewardGrad | undefined, cancellation)
  Napi::Value accumulate(const Napi::CallbackInfo& info) {
    return guarded_promise(info.Env(), [&]() -> Napi::Value {
      // Values that are not finite are the algorithm's to drop, so the usual conversion would be wrong here.
      if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_float32_array) {
        refuse("accumulate: rewardValues", "a Float32Array", info[1]);
      }
      const auto values = info[1].As<Napi::Float32Array>();
      const Cancellation cancellation = to_cancellation(info[3], "accumulate: cancellation");
      return instance(info.Env())
          .executor.submit(
              info.Env(),
              [model = model_, algorithm = used(), rollout = RolloutObject::get(info[0], "accumulate: rollout"),
               values = std::vector<float>(values.Data(), values.Data() + values.ElementLength()),
               grad = to_gradient(info[2], "accumulate: rewardGrad"), cancellation] {
                StepMetrics metrics = algorithm->accumulate(*rollout, values, grad, cancellation);
                return std::pair(std::move(metrics), algorithm->state());
              },
              [this, keep = std::make_shared<Napi::ObjectReference>(Napi::Persistent(info.This().As<Napi::Object>()))](
                  Napi::Env env, std::pair<StepMetrics, AlgorithmState> result) {
                state_ = std::move(result.second);
                return from_metrics(env, result.first);
              },
              cancellation);
    });
  }

  Napi::Value state(const Napi::CallbackInfo& info) {
    Napi::Object object = Napi::Object::New(info.Env());
    for (const auto& [name, values] : state_) {
      Napi::Array numbers = Napi::Array::New(info.Env(), values.size());
      for (size_t i = 0; i < values.size(); ++i) numbers.Set(static_cast<uint32_t>(i), values[i]);
      object.Set(name, numbers);
    }
    return object;
  }

  // load(state): checked here, put in place on the executor, after the work already submitted.
  void load(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
      if (!info[0].IsObject()) throw bad_value("load", "an object", describe(info[0]));
      const auto object = info[0].As<Napi::Object>();
      AlgorithmState state;
      for (const auto& [name, value] : object) {
        const std::string key = name.ToString();
        state[key] = to_numbers(static_cast<Napi::Value>(value), "load: " + key);
      }
      const auto algorithm = used();
      named("load", [&] { state_ = read_state(*algorithm, state); });
      instance(info.Env())
          .executor.submit(
              info.Env(), [model = model_, algorithm, state = state_] { algorithm->load(state); },
              [](Napi::Env env) { return env.Undefined(); });
    });
  }

  static AlgorithmState read_state(const RewardAlgorithm& algorithm, const AlgorithmState& given) {
    AlgorithmState kept = algorithm.checked(given);
    std::vector<std::string_view> names;
    for (const auto& [name, values] : kept) names.push_back(name);
    for (const auto& [name, values] : given) {
      if (kept.count(name) == 0) throw unknown_key("", name, names);
    }
    return kept;
  }

  // JavaScript can reach the constructor through an object of the class.
  std::shared_ptr<RewardAlgorithm> used() const {
    if (algorithm_) return algorithm_;
    throw Error(ErrorKind::config,
                "Algorithm has no public constructor; use Eam, AdjointMatching or another by its name");
  }

  std::shared_ptr<FlowModel> model_;  // the algorithm refers to it
  std::shared_ptr<RewardAlgorithm> algorithm_;
  AlgorithmState state_;  // what JavaScript reads while the executor may be changing it
};

// flowMatching(model, { x1, conditioning, unconditional, seed, step, cancellation, … })
Napi::Value flow_matching_step(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const Options options(info[1], "flowMatching", FlowMatchingOptions::table(),
                          {"x1", "conditioning", "unconditional", "seed", "step", "cancellation"});
    const auto matching = options.read<FlowMatchingOptions>();
    const Cancellation cancellation = options.cancellation();
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [model = to_flow_model(info[0], "flowMatching: model"), x1 = options.tensor("x1"),
             conditioning = options.tensors("conditioning"), unconditional = options.tensors("unconditional"), matching,
             seed = options.uint64("seed"), step = to_step(options), cancellation] {
              return flow_matching(*model, x1, conditioning, unconditional, matching, seed, step, cancellation);
            },
            [](Napi::Env env, const FlowMatchingLoss& loss) {
              Napi::Object object = Napi::Object::New(env);
              object.Set("loss", loss.loss);
              object.Set("perSample", from_floats(env, loss.per_sample));
              return object;
            },
            cancellation);
  });
}

// sample(model, { conditioning, unconditional?, guidance, solver, times, shape, seed, firstSample, weights, average?,
// cancellation })
Napi::Value sample_latents(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const Options options(info[1], "sample", SamplerOptions::table(),
                          {"conditioning", "unconditional", "shape", "seed", "firstSample", "average", "cancellation"});
    const auto sampler = options.read<SamplerOptions>();
    const int64_t first = options.integer("firstSample", 0);
    if (first < 0) throw bad_value(options.where("firstSample"), "a number of at least 0", first);
    const std::shared_ptr<Optimizer> average =
        options.has("average") ? to_optimizer(options.get("average"), options.where("average")) : nullptr;
    const Cancellation cancellation = options.cancellation();
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [model = to_flow_model(info[0], "sample: model"), conditioning = options.tensors("conditioning"),
             unconditional = to_unconditional(options), shape = options.shape("shape"), sampler,
             origin = NoiseOrigin{options.uint64("seed"), 0, first}, average, cancellation] {
              std::optional<AveragedWeights> averaged;
              if (average) averaged.emplace(*average);
              return sample(*model, conditioning, unconditional, shape, sampler, origin, cancellation);
            },
            [](Napi::Env env, Samples samples) {
              Napi::Object object = Napi::Object::New(env);
              object.Set("latents", wrap_tensor(env, std::move(samples.latents)));
              object.Set("forwards", static_cast<double>(samples.forwards));
              return object;
            },
            cancellation);
  });
}

}  // namespace

void define_algorithms(Napi::Env env, Napi::Object exports) {
  RolloutObject::define(env);
  AlgorithmObject::define(env);
  const auto add = [&](const char* name, auto create) {
    exports.Set(name,
                Napi::Function::New(env, [=](const Napi::CallbackInfo& info) { return create(info, name); }, name));
  };
  add("Eam", AlgorithmObject::create<Eam, EamOptions>);
  add("AdjointMatching", AlgorithmObject::create<AdjointMatching, AdjointMatchingOptions>);
  add("Refl", AlgorithmObject::create<Refl, ReflOptions>);
  add("Draft", AlgorithmObject::create<Draft, DraftOptions>);
  add("AlignProp", AlgorithmObject::create<AlignProp, AlignPropOptions>);
  exports.Set("flowMatching", Napi::Function::New<flow_matching_step>(env, "flowMatching"));
  exports.Set("sample", Napi::Function::New<sample_latents>(env, "sample"));
}

}  // namespace eam::addon
