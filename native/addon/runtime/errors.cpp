#include "addon/runtime/errors.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include "addon/runtime/instance.h"
#include "ops/error.h"

namespace eam::addon {
namespace {

Napi::FunctionReference& constructor_of(ErrorClasses& classes, ErrorKind kind) {
  switch (kind) {
    case ErrorKind::shape:
      return classes.shape;
    case ErrorKind::config:
      return classes.config;
    case ErrorKind::checkpoint:
      return classes.checkpoint;
    case ErrorKind::out_of_memory:
      return classes.out_of_memory;
    case ErrorKind::non_finite:
      return classes.non_finite;
    case ErrorKind::disposed:
      return classes.disposed;
    case ErrorKind::cancelled:
      return classes.cancelled;
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

}  // namespace

ThrownError::ThrownError(std::shared_ptr<Keeper> keeper, Napi::Object error)
    : keeper_(std::move(keeper)),
      id_(keeper_->keep(error)),
      kept_(nullptr, [keeper = keeper_, id = id_](void*) { keeper->release(id); }) {}

Napi::Value ThrownError::value() const {
  return keeper_->value(id_);
}

// The CPU allocator reports an exhausted host as a plain c10::Error, in words about its own source: "[enforce fail at
// alloc_cpu.cpp:…] … DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes. …".
std::optional<std::string> host_shortage(const c10::Error& error, const std::string& purpose) {
  std::string line = first_line(error.what_without_backtrace());
  if (line.find("DefaultCPUAllocator: ") == std::string::npos || line.find("memory") == std::string::npos) {
    return std::nullopt;
  }
  std::string message = "not enough host memory" + (purpose.empty() ? "" : " for " + purpose);
  constexpr std::string_view before = "tried to allocate ";
  size_t found = line.find(before);
  if (found == std::string::npos) return message;
  uint64_t bytes = std::strtoull(line.c_str() + found + before.size(), nullptr, 10);
  char size[80];
  std::snprintf(size, sizeof(size), ": %" PRIu64 " bytes (%.1f GiB) in one piece", bytes,
                static_cast<double>(bytes) / (1ull << 30));
  return message + size;
}

Napi::Value to_js_error(Napi::Env env, const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Napi::Error& js) {
    return js.Value();
  } catch (const ThrownError& thrown) {
    return thrown.value();
  } catch (const eam::Error& e) {
    return make(env, e.kind(), e.what());
  } catch (const c10::OutOfMemoryError& e) {
    return make(env, ErrorKind::out_of_memory, first_line(e.what_without_backtrace()));
  } catch (const c10::Error& e) {
    if (auto shortage = host_shortage(e)) return make(env, ErrorKind::out_of_memory, *shortage);
    return make_other(env, first_line(e.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    return make(env, ErrorKind::out_of_memory, "not enough host memory");
  } catch (const std::exception& e) {
    return make_other(env, first_line(e.what()));
  } catch (...) {
    return make_other(env, "an exception of unknown type in native code");
  }
}

}  // namespace eam::addon
