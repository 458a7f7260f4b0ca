#pragma once

#include <napi.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>

#include "addon/runtime/errors.h"
#include "io/mapped_file.h"
#include "ops/cancellation.h"

namespace eam::addon {

// The one thread on which all LibTorch work of an addon instance (one per JavaScript environment) runs, in the order
// it was submitted.
//
//   return executor.submit(env,
//       [x = to_tensor(info[0], "scale: `x`")] { return x * 2; },            // executor thread; no Napi here
//       [](Napi::Env env, at::Tensor y) { return wrap_tensor(env, y); });    // JavaScript thread
//
// Environments end at any moment (process.exit, an uncaught error, worker.terminate): then the queue is dropped, the
// running job's Cancellation is set and the thread is joined. Promises that are left never settle.
class Executor {
 public:
  explicit Executor(Napi::Env env);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // JavaScript thread. `work()` runs on the executor's thread and captures C++ values only, never Napi ones; it is
  // destroyed there as soon as it returns, so that what it captured is free again. `convert(env, result)`, or
  // `convert(env)` where work returns nothing, runs on the JavaScript thread; the promise resolves with what it
  // returns and rejects with what either throws. A job whose `cancellation` is set before it starts does not run.
  // Jobs share LibTorch's thread-local state: change it (grad mode, …) only through scoped guards.
  template <class Work, class Convert>
  Napi::Promise submit(Napi::Env env, Work work, Convert convert, Cancellation cancellation = {}) {
    auto job = std::make_unique<Task<Work, Convert>>(env, std::move(work), std::move(convert), std::move(cancellation));
    Napi::Promise promise = job->promise();
    enqueue(env, std::move(job));
    return promise;
  }

  // JavaScript thread, which waits: runs `work` on the executor's thread after all that was submitted before, and
  // returns or throws what it does. For constructors, whose object must be whole when they return; anything longer is
  // for `submit`.
  // Error(config) within `ask`, whose asker this thread would wait for.
  template <class Work>
  std::invoke_result_t<Work> call(Napi::Env env, Work work) {
    refuse_within_ask();
    std::packaged_task<std::invoke_result_t<Work>()> task(std::move(work));
    auto result = task.get_future();
    enqueue(env, std::make_unique<Call<decltype(task)>>(std::move(task)));
    answer_until(env, [&result] { return result.wait_for(std::chrono::seconds(0)) == std::future_status::ready; });
    return result.get();
  }

  // Executor thread, which waits: runs `question` on the JavaScript thread, also while that waits in `call`, and throws
  // what it throws, which must hold no JavaScript value. Error(cancelled) where the environment ends before; as the
  // question may then still be running, it owns what it refers to.
  void ask(std::function<void(Napi::Env)> question);

  // Calls `callback` on the JavaScript thread soon, from any thread; calls may be merged. Does not keep Node alive.
  void wake();
  void on_wake(std::function<void(Napi::Env)> callback) { on_wake_ = std::move(callback); }

  // Ends the thread as the environment's end does. Any thread but the executor's; idempotent.
  void stop() noexcept;

 private:
  class Job {
   public:
    explicit Job(Cancellation cancellation) : cancellation_(std::move(cancellation)) {}
    virtual ~Job() = default;
    virtual void run() noexcept = 0;         // executor thread
    virtual void settle(Napi::Env env) = 0;  // JavaScript thread; throws only where the environment is ending
    void cancel() const noexcept { cancellation_.cancel(); }

   protected:
    Cancellation cancellation_;
  };

  template <class Work, class Convert>
  class Task final : public Job {
    using Result = std::invoke_result_t<Work>;
    using Stored = std::conditional_t<std::is_void_v<Result>, std::monostate, Result>;

   public:
    Task(Napi::Env env, Work work, Convert convert, Cancellation cancellation)
        : Job(std::move(cancellation)), deferred_(env), work_(std::move(work)), convert_(std::move(convert)) {}
    Napi::Promise promise() const { return deferred_.Promise(); }

    void run() noexcept override {
      const io::LossWatch watch;
      try {
        cancellation_.check();
        if constexpr (std::is_void_v<Result>) {
          (*work_)();
          result_.emplace();
        } else {
          result_.emplace((*work_)());
        }
      } catch (...) {
        error_ = std::current_exception();
      }
      try {
        watch.check();
      } catch (...) {
        error_ = std::current_exception();
      }
      work_.reset();
    }

    void settle(Napi::Env env) override {
      try {
        if (error_) std::rethrow_exception(error_);
        if constexpr (std::is_void_v<Result>) {
          deferred_.Resolve(convert_(env));
        } else {
          deferred_.Resolve(convert_(env, std::move(*result_)));
        }
      } catch (...) {
        deferred_.Reject(to_js_error(env, std::current_exception()));
      }
    }

   private:
    Napi::Promise::Deferred deferred_;
    std::optional<Work> work_;
    Convert convert_;
    std::optional<Stored> result_;
    std::exception_ptr error_;
  };

  // Its caller has the result before the event loop comes to settle it.
  template <class PackagedTask>
  class Call final : public Job {
   public:
    explicit Call(PackagedTask task) : Job({}), task_(std::move(task)) {}
    void run() noexcept override { task_(); }
    void settle(Napi::Env) override {}

   private:
    PackagedTask task_;
  };

  static void deliver(Napi::Env env, Napi::Function, Executor* self, void*);
  using Channel = Napi::TypedThreadSafeFunction<Executor, void, &Executor::deliver>;

  // Something that the executor's thread asked, and whether it has been answered.
  struct Question {
    std::function<void(Napi::Env)> run;
    std::exception_ptr error;
    bool answered = false;
  };

  void enqueue(Napi::Env env, std::unique_ptr<Job> job);
  void refuse_within_ask() const;
  // JavaScript thread: answers what is asked until `done()`, which changes when a job has run.
  void answer_until(Napi::Env env, const std::function<bool()>& done);
  void answer(Napi::Env env, std::unique_lock<std::mutex>& lock);
  void loop() noexcept;
  void watch_for_jobs() const noexcept;

  std::mutex mutex_;
  std::condition_variable available_;
  std::deque<std::unique_ptr<Job>> queue_;
  std::atomic<bool> called_ = false;  // something was queued, or the end is near, since the loop last looked
  std::deque<std::unique_ptr<Job>> finished_;
  std::unique_ptr<Job> running_;
  std::shared_ptr<Question> question_;    // what nobody has begun to answer
  std::condition_variable for_executor_;  // a question has been answered
  std::condition_variable for_caller_;    // a question has been asked, or a job has run
  bool answering_ = false;                // JavaScript thread only
  bool stopping_ = false;
  std::atomic<bool> wake_sent_ = false;

  size_t pending_ = 0;  // promises not yet settled; JavaScript thread only
  std::function<void(Napi::Env)> on_wake_;
  Channel channel_;
  std::thread thread_;
};

}  // namespace eam::addon
