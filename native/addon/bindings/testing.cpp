#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"

// What tests need so that they judge nothing by a clock or by a process's resident memory.
namespace eam::addon {
namespace {

// hold(cancellation): a job that runs until it is cancelled, or for some ten minutes, so that who waits for it by
// mistake does not do so for ever. What is submitted after it has not begun before.
Napi::Value hold(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value {
    const Cancellation cancellation = to_cancellation(info[0], "hold: cancellation");
    return instance(info.Env())
        .executor.submit(
            info.Env(),
            [cancellation] {
              for (int turns = 0; turns < 600'000; ++turns) {
                cancellation.check();
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
              }
            },
            [](Napi::Env env) { return env.Undefined(); }, cancellation);
  });
}

// LibTorch's own way to allocate, and how much of it is given out: tensors and the scratch memory of operators, but not
// memory that is borrowed or mapped. A block's size is in front of it.
class CountingAllocator final : public c10::Allocator {
 public:
  at::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &free, at::kCPU};
    char* const block = static_cast<char*>(c10::alloc_cpu(bytes + kFront));
    std::memcpy(block, &bytes, sizeof bytes);
    add(static_cast<int64_t>(bytes));
    return {block + kFront, block + kFront, &free, at::kCPU};
  }
  at::DeleterFnPtr raw_deleter() const override { return &free; }
  void copy_data(void* destination, const void* source, size_t bytes) const override {
    default_copy_data(destination, source, bytes);
  }

  int64_t bytes() const { return bytes_; }
  // Since the last call.
  int64_t take_peak() { return peak_.exchange(bytes_); }

 private:
  static constexpr size_t kFront = 64;  // what LibTorch aligns to

  static void free(void* data) {
    if (!data) return;
    char* const block = static_cast<char*>(data) - kFront;
    size_t bytes;
    std::memcpy(&bytes, block, sizeof bytes);
    add(-static_cast<int64_t>(bytes));
    c10::free_cpu(block);
  }

  static void add(int64_t bytes) {
    const int64_t now = bytes_ += bytes;
    int64_t peak = peak_;
    while (peak < now && !peak_.compare_exchange_weak(peak, now)) continue;
  }

  // One for the process, as the allocator is.
  static inline std::atomic<int64_t> bytes_ = 0, peak_ = 0;
};

// tensorMemory(): counts from the first call on, of all threads. Never taken down, as tensors may outlive all else.
Napi::Value tensor_memory(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&] {
    static CountingAllocator& counting = []() -> CountingAllocator& {
      auto* allocator = new CountingAllocator;
      c10::SetCPUAllocator(allocator);
      return *allocator;
    }();
    Napi::Object object = Napi::Object::New(env);
    object.Set("bytes", static_cast<double>(counting.bytes()));
    object.Set("peak", static_cast<double>(counting.take_peak()));
    return object;
  });
}

}  // namespace

void define_testing(Napi::Env env, Napi::Object exports) {
  exports.Set("hold", Napi::Function::New<hold>(env, "hold"));
  exports.Set("tensorMemory", Napi::Function::New<tensor_memory>(env, "tensorMemory"));
}

}  // namespace eam::addon
