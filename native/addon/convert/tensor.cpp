#include "addon/convert/tensor.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/CPUAllocator.h>

#include "addon/convert/convert.h"
#include "addon/convert/dlpack.h"
#include "addon/convert/typed_arrays.h"
#include "addon/runtime/instance.h"
#include "addon/runtime/one_thread.h"

namespace eam::addon {
namespace {

constexpr napi_type_tag tensor_tag = {0x51c7a6d9b0e84f3a, 0xa2f94d7718c3e065};

}  // namespace

void TensorObject::define(Napi::Env env, Napi::Object exports) {
  Napi::Object symbols = env.Global().Get("Symbol").As<Napi::Object>();
  Napi::Symbol inspect_symbol = symbols.Get("for")
                                    .As<Napi::Function>()
                                    .Call(symbols, {Napi::String::New(env, "nodejs.util.inspect.custom")})
                                    .As<Napi::Symbol>();
  Napi::Function constructor =
      DefineClass(env, "Tensor",
                  {
                      StaticMethod("from", &TensorObject::from),
                      StaticMethod("fromPointer", &TensorObject::from_pointer),
                      StaticMethod("fromDLPack", &TensorObject::from_dlpack),
                      InstanceAccessor("shape", &TensorObject::shape, nullptr, napi_enumerable),
                      InstanceAccessor("dtype", &TensorObject::dtype, nullptr, napi_enumerable),
                      InstanceAccessor("device", &TensorObject::device, nullptr, napi_enumerable),
                      InstanceAccessor("disposed", &TensorObject::disposed, nullptr, napi_enumerable),
                      InstanceAccessor("dataPointer", &TensorObject::data_pointer, nullptr),
                      InstanceMethod("data", &TensorObject::data),
                      InstanceMethod("dataSync", &TensorObject::data_sync),
                      InstanceMethod("toDLPack", &TensorObject::to_dlpack),
                      InstanceMethod("to", &TensorObject::to),
                      InstanceMethod("dispose", &TensorObject::dispose),
                      InstanceMethod(symbols.Get("dispose").As<Napi::Symbol>(), &TensorObject::dispose),
                      InstanceMethod(inspect_symbol, &TensorObject::inspect),
                  });
  instance(env).constructor<TensorObject>() = Napi::Persistent(constructor);
  exports.Set("Tensor", constructor);
}

// new Tensor() is for wrap_tensor alone, which hands over the at::Tensor in an External.
TensorObject::TensorObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TensorObject>(info) {
  guarded(info.Env(), [&] {
    if (info.Length() != 1 || !info[0].IsExternal()) {
      throw Error(ErrorKind::config, "Tensor has no public constructor; use Tensor.from(data, shape)");
    }
    tensor_ = std::move(*info[0].As<Napi::External<at::Tensor>>().Data());
    info.This().As<Napi::Object>().TypeTag(&tensor_tag);
    // Borrowed memory (a typed array's, a mapped file's) and memory that a network owns are not this object's to
    // report.
    if (!borrows_memory(*tensor_) && tensor_->has_storage() && tensor_->storage().use_count() == 1) {
      reported_ = static_cast<int64_t>(tensor_->storage().nbytes());
      Napi::MemoryManagement::AdjustExternalMemory(info.Env(), reported_);
      writable_ = steady_ = tensor_->use_count() == 1;  // otherwise a network or a solver holds it, too
    }
  });
}

void TensorObject::Finalize(Napi::Env env) {
  release(env);
}

void TensorObject::release(Napi::Env env) {
  tensor_.reset();
  if (reported_ != 0) Napi::MemoryManagement::AdjustExternalMemory(env, -reported_);
  reported_ = 0;
}

const at::Tensor& TensorObject::get(const std::string& where) const {
  if (!tensor_) throw Error(ErrorKind::disposed, where + " has been disposed");
  if (detachable_) {
    Napi::Value array = instance(Env()).keeper->value(borrowed_);
    // In elements: ByteLength() does not know a Float16Array's.
    if (static_cast<int64_t>(array.As<Napi::TypedArray>().ElementLength()) != tensor_->numel()) {
      throw Error(ErrorKind::disposed, where +
                                           " shares memory with a typed array that has been transferred away; "
                                           "hand a copy to Tensor.from");
    }
  }
  return *tensor_;
}

at::Tensor TensorObject::lasting(const std::string& where) const {
  const at::Tensor& tensor = get(where);
  return detachable_ ? tensor.clone() : tensor;
}

const at::Tensor& TensorObject::get_writable(const std::string& where) const {
  const at::Tensor& tensor = get(where);
  if (!writable_) {
    throw Error(ErrorKind::config, where +
                                       " cannot be written to: its memory belongs to a network, a file, a read-only "
                                       "capsule or another tensor; use one from Tensor.from or a kernel's result");
  }
  return tensor;
}

TensorObject::WriteMark TensorObject::mark_write() {
  if (!writes_) writes_ = std::make_shared<std::atomic<int>>(0);
  writes_->fetch_add(1, std::memory_order_relaxed);
  return {nullptr, [writes = writes_](void*) { writes->fetch_sub(1, std::memory_order_release); }};
}

void TensorObject::check_written(const std::string& where) const {
  if (being_written()) {
    throw Error(ErrorKind::config, where +
                                       " is the `out` or `grad` of an asynchronous call that has not finished; "
                                       "await that call first");
  }
}

// A getter can be applied to any object; unlike a method's, its receiver is not checked by the engine.
TensorObject& TensorObject::receiver(const Napi::CallbackInfo& info) {
  if (!is_tensor(info.This())) throw Napi::TypeError::New(info.Env(), "the receiver is not a Tensor");
  return *this;
}

// from(data, shape, { dtype, device })
Napi::Value TensorObject::from(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Napi::Value data = info[0];
    std::vector<int64_t> shape = to_shape(info[1], "Tensor.from: shape");
    std::optional<at::ScalarType> dtype;
    at::Device device = at::kCPU;
    if (!info[2].IsUndefined()) {
      Options options(info[2], "Tensor.from", {"dtype", "device"});
      if (options.has("dtype")) dtype = dtype_of(options.string("dtype"), options.where("dtype"));
      if (options.has("device")) device = device_of(options.string("device"), options.where("device"));
    }
    bool typed = data.IsTypedArray();
    if (!typed && !data.IsArray()) {
      refuse("Tensor.from: data", "a typed array or number[]", data);
    }
    size_t length = typed ? data.As<Napi::TypedArray>().ElementLength() : data.As<Napi::Array>().Length();
    size_t elements = 1;
    for (int64_t size : shape) elements *= static_cast<size_t>(size);
    if (length != elements) {
      throw bad_shape("Tensor.from: data", words(elements, " elements, as shape ", at::IntArrayRef(shape), " has"),
                      length);
    }

    at::Tensor tensor;
    Keeper::Id borrowed = 0;
    bool detachable = false;
    if (!typed) {
      tensor = at::empty(shape, dtype.value_or(at::kFloat));
      convert_into(tensor, data.As<Napi::Array>());
    } else {
      Napi::TypedArray array = data.As<Napi::TypedArray>();
      std::optional<at::ScalarType> own = own_dtype(array, dtype);
      if (!own) {
        refuse("Tensor.from: data",
               "a Float32Array, Float64Array, Float16Array, Int32Array, BigInt64Array, Uint16Array, Uint8Array or "
               "number[]",
               data);
      }
      auto [bytes, shared, fixed] = bytes_of(array);
      if (dtype.value_or(*own) == *own && device.is_cpu() && fixed && elements > 0) {
        std::shared_ptr<Keeper> keeper = instance(env).keeper;
        borrowed = keeper->keep(array);
        detachable = !shared;
        tensor = at::for_blob(bytes, shape)
                     .deleter([keeper, borrowed](void*) { keeper->release(borrowed); })
                     .options(at::TensorOptions(*own))
                     .make_tensor();
      } else {
        tensor = at::empty(shape, dtype.value_or(*own));
        convert_into(tensor, bytes, *own);
      }
    }
    if (!device.is_cpu()) tensor = instance(env).executor.call(env, [&] { return tensor.to(device); });
    Napi::Object object = wrap_tensor(env, std::move(tensor));
    TensorObject& wrapped = *Unwrap(object);
    wrapped.borrowed_ = borrowed;
    wrapped.detachable_ = detachable;
    wrapped.writable_ = true;
    return object;
  });
}

// fromPointer({ pointer, shape, dtype, device, stream, owner })
Napi::Value TensorObject::from_pointer(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Options options(info[0], "Tensor.fromPointer", {"pointer", "shape", "dtype", "device", "stream", "owner"});
    void* data = to_pointer(options.get("pointer"), options.where("pointer"));
    std::vector<int64_t> shape = options.shape("shape");
    at::ScalarType dtype = dtype_of(options.string("dtype", "float32"), options.where("dtype"));
    at::Device device = device_of(options.string("device", "cpu"), options.where("device"));
    std::optional<uint64_t> stream = to_stream(options.get("stream"), device, options.where("stream"));
    Napi::Value owner = options.get("owner");
    if (!owner.IsNull() && !owner.IsObject()) {
      refuse(options.where("owner"), "the object that keeps the memory alive, or null for memory that is never freed",
             owner);
    }
    std::shared_ptr<void> hold;
    if (owner.IsObject()) {
      std::shared_ptr<Keeper> keeper = instance(env).keeper;
      hold = {nullptr, [keeper, id = keeper->keep(owner.As<Napi::Object>())](void*) { keeper->release(id); }};
    }
    auto make = [&] {
      at::Tensor over = named("Tensor.fromPointer",
                              [&] { return ops::from_memory(data, shape, dtype, device, std::move(hold), stream); });
      run_after(device, stream);
      return over;
    };
    // A device's streams are the executor's thread's; on the CPU there is nothing to wait for.
    at::Tensor tensor = device.is_cpu() ? make() : instance(env).executor.call(env, make);
    Napi::Object object = wrap_tensor(env, std::move(tensor));
    Unwrap(object)->writable_ = true;
    Unwrap(object)->set_steady();
    return object;
  });
}

// fromDLPack(capsule | { pointer, versioned })
Napi::Value TensorObject::from_dlpack(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    ops::Imported imported = take_dlpack(info[0]);
    Napi::Object object = wrap_tensor(env, std::move(imported.tensor));
    Unwrap(object)->writable_ = !imported.read_only;
    Unwrap(object)->set_steady();
    return object;
  });
}

// toDLPack({ stream, versioned })
Napi::Value TensorObject::to_dlpack(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const at::Tensor& tensor = get("toDLPack: the tensor");
    check_written("toDLPack: the tensor");
    bool versioned = true;
    std::optional<uint64_t> stream;
    if (!info[0].IsUndefined()) {
      Options options(info[0], "toDLPack", {"stream", "versioned"});
      versioned = options.boolean("versioned", true);
      stream = to_stream(options.get("stream"), tensor.device(), options.where("stream"));
    }
    if (stream) instance(env).executor.call(env, [&] { run_before(tensor.device(), stream); });
    return wrap_dlpack(env, tensor, versioned, !writable_);
  });
}

Napi::Value TensorObject::data_pointer(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&] {
    const at::Tensor& tensor = receiver(info).get("Tensor: dataPointer");
    if (!tensor.is_contiguous()) {
      throw Error(ErrorKind::config,
                  "Tensor: dataPointer is for row-major tensors, and this one came from DLPack with "
                  "other strides; copy it with `to` another dtype or through `data()`");
    }
    return Napi::BigInt::New(env, static_cast<uint64_t>(reinterpret_cast<uintptr_t>(tensor.const_data_ptr())));
  });
}

Napi::Value TensorObject::shape(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return from_shape(info.Env(), receiver(info).get("Tensor: shape").sizes()); });
}

Napi::Value TensorObject::dtype(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return Napi::String::New(info.Env(), std::string(dtype_name(receiver(info).get("dtype").scalar_type())));
  });
}

Napi::Value TensorObject::device(const Napi::CallbackInfo& info) {
  return guarded(info.Env(),
                 [&] { return Napi::String::New(info.Env(), receiver(info).get("device").device().str()); });
}

Napi::Value TensorObject::disposed(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), !receiver(info).tensor_.has_value());
}

Napi::Value TensorObject::data(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_promise(env, [&]() -> Napi::Value {
    at::Tensor tensor = get("data: the tensor");
    if (borrowed_ != 0) {
      std::shared_ptr<Keeper> keeper = instance(env).keeper;
      if (being_written()) {  // the array comes when its numbers have
        return instance(env).executor.submit(
            env, [] {}, [tensor, keeper, id = borrowed_](Napi::Env) { return keeper->value(id); });
      }
      auto deferred = Napi::Promise::Deferred::New(env);
      deferred.Resolve(keeper->value(borrowed_));
      return deferred.Promise();
    }
    return instance(env).executor.submit(
        env, [tensor = std::move(tensor)] { return host_of(tensor, 2); }, to_typed_array);
  });
}

// dataSync(): the same, now.
Napi::Value TensorObject::data_sync(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const at::Tensor& tensor = get("dataSync: the tensor");
    check_written("dataSync: the tensor");
    if (borrowed_ != 0) return instance(env).keeper->value(borrowed_);
    // What a network may be writing to, and what is on a device, is read in its turn.
    if (steady_ && tensor.is_cpu()) {
      OneThread one_thread;
      return to_typed_array(env, host_of(tensor, 1));
    }
    return to_typed_array(env, instance(env).executor.call(env, [&] { return host_of(tensor, 1); }));
  });
}

Napi::Value TensorObject::to(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded_promise(env, [&]() -> Napi::Value {
    at::Tensor tensor = get("to: the tensor");
    Options options(info[0], "to", {"dtype", "device"});
    at::TensorOptions wanted = tensor.options();
    if (options.has("dtype")) wanted = wanted.dtype(dtype_of(options.string("dtype"), options.where("dtype")));
    if (options.has("device")) wanted = wanted.device(device_of(options.string("device"), options.where("device")));
    bool copy = borrowed_ != 0;  // what leaves here must not depend on a typed array that only this Tensor watches
    return instance(env).executor.submit(
        env, [tensor = std::move(tensor), wanted, copy] { return tensor.to(wanted, /*non_blocking=*/false, copy); },
        [](Napi::Env env, at::Tensor result) { return wrap_tensor(env, std::move(result)); });
  });
}

Napi::Value TensorObject::dispose(const Napi::CallbackInfo& info) {
  release(info.Env());
  return info.Env().Undefined();
}

// console.log: Tensor float32 [2, 3] cpu
Napi::Value TensorObject::inspect(const Napi::CallbackInfo& info) {
  std::string text = describe(info.This());
  if (tensor_ && !tensor_->is_cpu()) text += " " + tensor_->device().str();
  return Napi::String::New(info.Env(), text);
}

Napi::Object wrap_tensor(Napi::Env env, at::Tensor tensor) {
  if (tensor.requires_grad()) tensor = tensor.detach();
  Napi::EscapableHandleScope scope(env);
  Napi::Object object = instance(env).constructor<TensorObject>().New({Napi::External<at::Tensor>::New(env, &tensor)});
  return scope.Escape(object).As<Napi::Object>();
}

bool borrows_memory(const at::Tensor& tensor) {
  return tensor.is_cpu() && tensor.has_storage() &&
         tensor.storage().data_ptr().get_deleter() != c10::GetCPUAllocator()->raw_deleter();
}

bool is_tensor(Napi::Value value) {
  return value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&tensor_tag);
}

TensorObject& to_tensor_object(Napi::Value value, const std::string& where) {
  if (!is_tensor(value)) throw bad_shape(where, "a Tensor", describe(value));
  return *TensorObject::Unwrap(value.As<Napi::Object>());
}

void check_on_cpu(at::Device device, const std::string& where) {
  if (device.is_cpu()) return;
  throw bad_value(where,
                  "device \"cpu\", where synchronous calls compute (use the function of the same name without Sync)",
                  in_quotes(device.str()));
}

at::Tensor to_readable(Napi::Value value, const std::string& where) {
  const TensorObject& object = to_tensor_object(value, where);
  const at::Tensor& tensor = object.get(where);
  check_on_cpu(tensor.device(), where);
  object.check_written(where);
  return tensor;
}

at::Tensor to_tensor(Napi::Value value, const std::string& where) {
  return to_tensor_object(value, where).get(where);
}

}  // namespace eam::addon
