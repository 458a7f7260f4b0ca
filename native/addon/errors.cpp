#include "addon/errors.h"

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "addon/instance.h"
#include "ops/error.h"

namespace eam::addon {
namespace {

Napi::FunctionReference& constructor_of(ErrorClasses& classes, ErrorKind kind) {
  switch (kind) {
    case ErrorKind::shape: return classes.shape;
    case ErrorKind::config: return classes.config;
    case ErrorKind::checkpoint: return classes.checkpoint;
    case ErrorKind::out_of_memory: return classes.out_of_memory;
    case ErrorKind::non_finite: return classes.non_finite;
    case ErrorKind::disposed: return classes.disposed;
    case ErrorKind::cancelled: return classes.cancelled;
  }
  return classes.base;
}

// Before `initialize` (and while it is still being called) there are no classes yet.
Napi::Value make(Napi::Env env, ErrorKind kind, const std::string& message) {
  auto& constructor = constructor_of(instance(env).errors, kind);
  if (constructor.IsEmpty()) return Napi::Error::New(env, message).Value();
  return constructor.New({Napi::String::New(env, message)});
}

Napi::Value make_other(Napi::Env env, const std::string& message) {
  auto& constructor = instance(env).errors.base;
  if (constructor.IsEmpty()) return Napi::Error::New(env, message).Value();
  return constructor.New({Napi::String::New(env, "ERR_EAM_NATIVE"), Napi::String::New(env, message)});
}

std::string first_line(const char* text) {
  std::string line(text);
  return line.substr(0, line.find('\n'));
}

// The CPU allocator reports an exhausted host as a plain c10::Error.
bool is_host_allocation_failure(const std::string& message) {
  return message.find("DefaultCPUAllocator: ") != std::string::npos &&
         message.find("memory") != std::string::npos;
}

}  // namespace

Napi::Value to_js_error(Napi::Env env, std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const Napi::Error& js) {
    return js.Value();
  } catch (const eam::Error& e) {
    return make(env, e.kind(), e.what());
  } catch (const c10::OutOfMemoryError& e) {
    return make(env, ErrorKind::out_of_memory, first_line(e.what_without_backtrace()));
  } catch (const c10::Error& e) {
    std::string line = first_line(e.what_without_backtrace());
    if (is_host_allocation_failure(line)) return make(env, ErrorKind::out_of_memory, line);
    return make_other(env, line);
  } catch (const std::bad_alloc&) {
    return make(env, ErrorKind::out_of_memory, "not enough host memory");
  } catch (const std::exception& e) {
    return make_other(env, first_line(e.what()));
  } catch (...) {
    return make_other(env, "an exception of unknown type in native code");
  }
}

}  // namespace eam::addon
