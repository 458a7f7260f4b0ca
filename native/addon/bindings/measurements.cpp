#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/randn.h>
#include <ATen/record_function.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "nn/layers/linear_map.h"
#include "ops/stage.h"

// What benchmarks need to know of the device and of the stages of an iteration.
namespace eam::addon {
namespace {

// A GPU is handed its work and has not done it when a call returns.
void wait_for(at::Device device) {
  if (!device.is_cpu()) at::accelerator::synchronizeDevice(device.index());
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Times the stages of the executor on whose thread it is.
struct StageClock {
  bool running = false;
  at::Device device = at::kCPU;
  std::map<std::string, double> seconds;
};
thread_local StageClock stage_clock;

struct StageStart final : at::ObserverContext {
  double time = now();
};

std::unique_ptr<at::ObserverContext> begin_stage(const at::RecordFunction& function) {
  if (!std::string_view(function.name()).starts_with(ops::kStagePrefix)) return nullptr;
  wait_for(stage_clock.device);
  return std::make_unique<StageStart>();
}

void end_stage(const at::RecordFunction& function, at::ObserverContext* start) {
  if (!start) return;
  wait_for(stage_clock.device);
  const std::string name = function.name() + ops::kStagePrefix.size();
  stage_clock.seconds[name] += now() - static_cast<StageStart*>(start)->time;
}

at::Device to_device(Napi::Value value, const std::string& where) {
  return device_of(to_string(value, where), where);
}

// timeStages(device): from here to the end of the executor's thread.
Napi::Value time_stages(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [device = to_device(info[0], "timeStages: device")] {
              if (!stage_clock.running) {
                at::addThreadLocalCallback(
                    at::RecordFunctionCallback(begin_stage, end_stage).scopes({at::RecordScope::USER_SCOPE}));
              }
              stage_clock = {true, device, {}};
            },
            [](Napi::Env env) { return env.Undefined(); });
  });
}

// stageSeconds()
Napi::Value stage_seconds(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(), [] { return std::exchange(stage_clock.seconds, {}); },
            [](Napi::Env env, const std::map<std::string, double>& seconds) {
              Napi::Object object = Napi::Object::New(env);
              for (const auto& [name, value] : seconds) object.Set(name, value);
              return object;
            });
  });
}

// synchronize(device)
Napi::Value synchronize(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    return instance(info.Env())
        .executor.submit(
            info.Env(), [device = to_device(info[0], "synchronize: device")] { wait_for(device); },
            [](Napi::Env env) { return env.Undefined(); });
  });
}

// cudaPeakMemory(device)
Napi::Value cuda_peak_memory(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const std::string where = "cudaPeakMemory: device";
    const at::Device device = to_device(info[0], where);
    if (!device.is_cuda()) throw bad_value(where, "\"cuda\" or \"cuda:N\"", in_quotes("cpu"));
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [device] {
              at::globalContext().lazyInitDevice(at::kCUDA);
              at::DeviceAllocator* allocator = at::getDeviceAllocator(at::kCUDA);
              const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
              const int64_t peak = allocator->getDeviceStats(device.index()).allocated_bytes[all].peak;
              allocator->resetPeakStats(device.index());
              return static_cast<double>(peak);
            },
            [](Napi::Env env, double bytes) { return Napi::Number::New(env, bytes); });
  });
}

// matrixProductSeconds(size, repeats, dtype, device)
Napi::Value matrix_product_seconds(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const int64_t size = to_integer(info[0], "matrixProductSeconds: size");
    const int64_t repeats = to_integer(info[1], "matrixProductSeconds: repeats");
    const std::string where = "matrixProductSeconds: dtype";
    const at::ScalarType dtype = dtype_of(to_string(info[2], where), where);
    const at::Device device = to_device(info[3], "matrixProductSeconds: device");
    if (!at::isFloatingType(dtype)) throw bad_value(where, "a floating-point dtype", dtype);
    if (size < 1) throw bad_value("matrixProductSeconds: size", "at least 1", size);
    if (repeats < 1) throw bad_value("matrixProductSeconds: repeats", "at least 1", repeats);
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [=] {
              // As the networks' layers take them.
              const at::Tensor a = at::randn({size, size}, at::device(device)).to(dtype), b = a.clone();
              nn::linear_map(a, b);  // warms up
              wait_for(device);
              const double begin = now();
              for (int64_t i = 0; i < repeats; ++i) nn::linear_map(a, b);
              wait_for(device);
              return (now() - begin) / static_cast<double>(repeats);
            },
            [](Napi::Env env, double seconds) { return Napi::Number::New(env, seconds); });
  });
}

}  // namespace

void define_measurements(Napi::Env env, Napi::Object exports) {
  exports.Set("timeStages", Napi::Function::New<time_stages>(env, "timeStages"));
  exports.Set("stageSeconds", Napi::Function::New<stage_seconds>(env, "stageSeconds"));
  exports.Set("synchronize", Napi::Function::New<synchronize>(env, "synchronize"));
  exports.Set("cudaPeakMemory", Napi::Function::New<cuda_peak_memory>(env, "cudaPeakMemory"));
  exports.Set("matrixProductSeconds", Napi::Function::New<matrix_product_seconds>(env, "matrixProductSeconds"));
}

}  // namespace eam::addon
