#include "addon/runtime/executor.h"

#include <chrono>

#ifdef __linux__
#include <pthread.h>
#endif

namespace eam::addon {

namespace {

// To wake a sleeping thread takes longer than a small job. Whoever awaits one result and asks for the next finds the
// thread awake this long.
constexpr auto patience = std::chrono::microseconds(100);

}  // namespace

Executor::Executor(Napi::Env env) : channel_(Channel::New(env, "eam-torch", 0, 1, this)) {
  channel_.Unref(env);
  thread_ = std::thread([this] { loop(); });
  // After the channel's own hook was registered: hooks run last in, first out, and the thread must be gone before the
  // channel closes.
  napi_add_env_cleanup_hook(env, [](void* self) { static_cast<Executor*>(self)->stop(); }, this);
}

Executor::~Executor() {
  stop();
}

void Executor::stop() noexcept {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    called_ = true;
    if (running_) running_->cancel();
  }
  available_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Executor::enqueue(Napi::Env env, std::unique_ptr<Job> job) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    queue_.push_back(std::move(job));
    called_ = true;
  }
  if (pending_++ == 0) channel_.Ref(env);
  available_.notify_one();
}

void Executor::loop() noexcept {
#ifdef __linux__
  pthread_setname_np(pthread_self(), "eam-torch");
#endif
  std::unique_lock lock(mutex_);
  while (true) {
    called_ = !queue_.empty() || stopping_;
    lock.unlock();
    watch_for_jobs();
    lock.lock();
    available_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    running_ = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    running_->run();
    lock.lock();
    finished_.push_back(std::move(running_));
    if (!stopping_ && !wake_sent_.exchange(true)) channel_.NonBlockingCall();
  }
}

void Executor::watch_for_jobs() const noexcept {
  static const bool alone = std::thread::hardware_concurrency() < 2;
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!called_ && !alone && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

void Executor::wake() {
  std::lock_guard lock(mutex_);
  if (!stopping_ && !wake_sent_.exchange(true)) channel_.NonBlockingCall();
}

void Executor::deliver(Napi::Env env, Napi::Function, Executor* self, void*) {
  if (static_cast<napi_env>(env) == nullptr) return;  // the environment is closing
  std::deque<std::unique_ptr<Job>> finished;
  {
    std::lock_guard lock(self->mutex_);
    self->wake_sent_ = false;
    finished.swap(self->finished_);
  }
  for (auto& job : finished) {
    Napi::HandleScope scope(env);
    try {
      job->settle(env);
    } catch (...) {
      // A worker that is being terminated runs no more JavaScript: there is nobody to tell.
    }
    job.reset();
    if (--self->pending_ == 0) self->channel_.Unref(env);
  }
  if (self->on_wake_) self->on_wake_(env);
}

}  // namespace eam::addon
