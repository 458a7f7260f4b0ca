#include "addon/runtime/executor.h"

#include <chrono>

#ifdef __linux__
#include <pthread.h>
#endif

#include "ops/error.h"

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
  for_executor_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Executor::ask(std::function<void(Napi::Env)> run) {
  const auto question = std::make_shared<Question>();
  question->run = std::move(run);
  std::unique_lock lock(mutex_);
  if (!stopping_) {
    question_ = question;
    for_caller_.notify_one();
    if (!wake_sent_.exchange(true)) channel_.NonBlockingCall();
    for_executor_.wait(lock, [&] { return stopping_ || question->answered; });
    question_.reset();
  }
  if (!question->answered) throw Error(ErrorKind::cancelled, "the environment is ending");
  if (question->error) std::rethrow_exception(question->error);
}

void Executor::answer(Napi::Env env, std::unique_lock<std::mutex>& lock) {
  const std::shared_ptr<Question> question = std::move(question_);
  question_.reset();
  if (!question) return;
  lock.unlock();
  const bool before = std::exchange(answering_, true);
  try {
    Napi::HandleScope scope(env);
    question->run(env);
  } catch (...) {
    question->error = std::current_exception();
  }
  answering_ = before;
  lock.lock();
  question->answered = true;
  for_executor_.notify_one();
}

void Executor::answer_until(Napi::Env env, const std::function<bool()>& done) {
  std::unique_lock lock(mutex_);
  while (true) {
    for_caller_.wait(lock, [&] { return done() || question_; });
    if (done()) return;
    answer(env, lock);
  }
}

void Executor::refuse_within_ask() const {
  if (!answering_) return;
  throw Error(ErrorKind::config,
              "this call waits for the native thread, which itself waits for the function that makes it: call it "
              "before, and not while a model's velocity or images are being recorded");
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
    for_caller_.notify_one();
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
    std::unique_lock lock(self->mutex_);
    self->wake_sent_ = false;
    self->answer(env, lock);
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
