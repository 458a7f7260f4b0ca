#pragma once

#include <c10/util/Exception.h>
#include <napi.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

// Where C++ exceptions become JavaScript errors. Every function that JavaScript calls runs its body in `guarded`
// (throws) or `guarded_promise` (rejects), so that no exception leaves untranslated.
namespace eam::addon {

class Keeper;

// What a JavaScript function has thrown, on its way through native threads to the promise that rejects with it.
class ThrownError final : public std::exception {
 public:
  // JavaScript thread.
  ThrownError(std::shared_ptr<Keeper> keeper, Napi::Object error);

  const char* what() const noexcept override { return "a JavaScript function threw an error"; }
  Napi::Value value() const;  // JavaScript thread

 private:
  std::shared_ptr<Keeper> keeper_;
  uint64_t id_;
  std::shared_ptr<void> kept_;  // lets go of the error, on any thread
};

// The JavaScript constructors behind `ErrorClasses` of lib/errors.ts.
// NOLINTNEXTLINE(bugprone-exception-escape): node-addon-api's own assignment may throw
struct ErrorClasses {
  Napi::FunctionReference base, shape, config, checkpoint, out_of_memory, non_finite, disposed, cancelled;
};

// eam::Error by its kind; an allocation that failed, LibTorch's or C++'s, as OutOfMemoryError; any other exception as
// EamError with code ERR_EAM_NATIVE and the first line of its message (LibTorch appends a C++ backtrace); a ThrownError
// as what was thrown.
// JavaScript thread only.
Napi::Value to_js_error(Napi::Env env, const std::exception_ptr& error);

// The message of an OutOfMemoryError where `error` is LibTorch's about host memory, nullopt where it is any other.
// `purpose` says what the memory was for, such as the argument that asks for so much.
std::optional<std::string> host_shortage(const c10::Error& error, const std::string& purpose = "");

template <class Body>
auto guarded(Napi::Env env, Body&& body) -> std::invoke_result_t<Body> {
  try {
    return body();
  } catch (...) {
    throw Napi::Error(env, to_js_error(env, std::current_exception()));
  }
}

// For functions that return a promise: an argument that does not convert rejects, like an error of the work itself.
template <class Body>
Napi::Value guarded_promise(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (...) {
    auto deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(to_js_error(env, std::current_exception()));
    return deferred.Promise();
  }
}

}  // namespace eam::addon
