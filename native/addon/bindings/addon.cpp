#include "addon/runtime/addon.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <cstdint>
#include <string>

#include "addon/convert/convert.h"
#include "addon/convert/tensor.h"
#include "addon/runtime/instance.h"

// LibTorch's own, of its C interface (torch/csrc/inductor/aoti_torch/c/shim.h): major, minor and patch, a byte each
// from the top. The header's TORCH_VERSION is that of the LibTorch that compiled us.
extern "C" uint64_t aoti_torch_abi_version();

namespace eam::addon {
namespace {

std::string libtorch_version() {
  const uint64_t version = aoti_torch_abi_version();
  auto byte = [version](int shift) { return std::to_string(version >> shift & 0xff); };
  return byte(56) + "." + byte(48) + "." + byte(40);
}

// initialize(classes): the error classes of lib/errors.ts.
void initialize(const Napi::CallbackInfo& info) {
  Napi::Object classes = info[0].As<Napi::Object>();
  ErrorClasses& errors = instance(info.Env()).errors;
  auto persist = [&](const char* name) { return Napi::Persistent(classes.Get(name).As<Napi::Function>()); };
  errors = {persist("base"),        persist("shape"),     persist("config"),   persist("checkpoint"),
            persist("outOfMemory"), persist("nonFinite"), persist("disposed"), persist("cancelled")};
}

// threads(): how many threads an operator uses.
Napi::Value threads(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&] {
    return instance(info.Env())
        .executor.submit(
            info.Env(), [] { return at::get_num_threads(); },
            [](Napi::Env env, int count) { return Napi::Number::New(env, count); });
  });
}

// setThreads(count): on the executor, because OpenMP keeps the number a thread.
Napi::Value set_threads(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_promise(env, [&] {
    int64_t count = to_integer(info[0], "setThreads: count");
    if (count < 1 || count > 4096) {
      throw bad_value("setThreads: count", "a number from 1 to 4096", count);
    }
    return instance(env).executor.submit(
        env, [count] { at::set_num_threads(static_cast<int>(count)); }, [](Napi::Env env) { return env.Undefined(); });
  });
}

// cudaDeviceCount(): how many devices `cuda:N` can name; 0 in the CPU build.
Napi::Value cuda_device_count_js(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), cuda_device_count()); });
}

// process.exit and an uncaught error end the process through C's exit(), which destroys LibTorch's static objects (also
// those that a job made just now, so no exit handler of ours would come before them) and runs no cleanup hook. Node's
// own event comes before all that.
void stop_before_exit(Napi::Env env) {
  Napi::Object process = env.Global().Get("process").As<Napi::Object>();
  auto stop = [](const Napi::CallbackInfo& info) { instance(info.Env()).executor.stop(); };
  process.Get("prependOnceListener")
      .As<Napi::Function>()
      .Call(process, {Napi::String::New(env, "exit"), Napi::Function::New(env, stop, "stopEamTorch")});
}

Napi::Object start(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Instance(env));
  stop_before_exit(env);
  // Float32 is float32: LibTorch would let cuDNN's convolutions, which autoencoders are made of, round to ten bits
  // (TF32).
  at::globalContext().setAllowTF32CuDNN(false);
  exports.Set("variant", EAM_VARIANT);
  exports.Set("libtorchVersion", libtorch_version());
  exports.Set("initialize", Napi::Function::New(env, initialize, "initialize"));
  exports.Set("threads", Napi::Function::New(env, threads, "threads"));
  exports.Set("setThreads", Napi::Function::New(env, set_threads, "setThreads"));
  exports.Set("cudaDeviceCount", Napi::Function::New(env, cuda_device_count_js, "cudaDeviceCount"));
  TensorObject::define(env, exports);
  define_cancellation(env, exports);
  define_dlpack(env, exports);
  define_kernels(env, exports);
  define_ode_solver(env, exports);
  define_weight_files(env, exports);
  define_networks(env, exports);
  define_flow_model(env, exports);
  define_recorded_tensor(env, exports);
  define_recorded(env, exports);
  define_text_encoder(env, exports);
  define_autoencoder(env, exports);
  define_image_reward(env, exports);
  define_classifier(env, exports);
  define_optimizer(env, exports);
  define_algorithms(env, exports);
  define_images(env, exports);
  define_torchscript(env, exports);
  define_fidelity(env, exports);
  define_file_lock(env, exports);
  define_tensor_file(env, exports);
  define_adapters(env, exports);
  define_tools(env, exports);
  define_measurements(env, exports);
  define_testing(env, exports);
  return exports;
}

}  // namespace
}  // namespace eam::addon

static Napi::Object eam_torch_start(Napi::Env env, Napi::Object exports) {
  return eam::addon::start(env, exports);
}
NODE_API_MODULE(eam_torch, eam_torch_start)
