#include "addon/convert/dlpack.h"

#include <ATen/DLConvertor.h>

#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"
#include "ops/stream_order.h"

namespace eam::addon {
namespace {

constexpr napi_type_tag dlpack_tag = {0x3f0d8b1c64e94a57, 0xb7a2c95e10d3486f};

// `DLPackCapsule`: one DLPack struct until somebody takes it; otherwise its deleter is called by dispose() or the
// garbage collector.
class CapsuleObject : public Napi::ObjectWrap<CapsuleObject> {
 public:
  explicit CapsuleObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CapsuleObject>(info) {
    guarded(info.Env(), [&] {
      if (info.Length() != 2 || !info[0].IsExternal()) {
        throw Error(ErrorKind::config, "DLPackCapsule has no public constructor; use tensor.toDLPack()");
      }
      managed_ = info[0].As<Napi::External<void>>().Data();
      versioned_ = info[1].ToBoolean();
      info.This().As<Napi::Object>().TypeTag(&dlpack_tag);
    });
  }

  void Finalize(Napi::Env) override { discard(); }

  static bool is(Napi::Value value) { return value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&dlpack_tag); }

  bool versioned() const { return versioned_; }

  // Error(disposed) the second time.
  void* take(const std::string& where) {
    if (!managed_) {
      throw Error(ErrorKind::disposed, where +
                                           " has been used or disposed; a capsule can be taken once, make another "
                                           "with toDLPack()");
    }
    return std::exchange(managed_, nullptr);
  }

  static CapsuleObject& receiver(const Napi::CallbackInfo& info) {
    if (!is(info.This())) throw Napi::TypeError::New(info.Env(), "the receiver is not a DLPackCapsule");
    return *Unwrap(info.This().As<Napi::Object>());
  }

  Napi::Value release(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    return guarded(env, [&] {
      void* managed = receiver(info).take("release: the capsule");
      return Napi::BigInt::New(env, static_cast<uint64_t>(reinterpret_cast<uintptr_t>(managed)));
    });
  }

  Napi::Value dispose(const Napi::CallbackInfo& info) {
    receiver(info).discard();
    return info.Env().Undefined();
  }

  Napi::Value consumed(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), !receiver(info).managed_);
  }

  Napi::Value version(const Napi::CallbackInfo& info) {
    if (!receiver(info).versioned_) return info.Env().Undefined();
    return Napi::String::New(info.Env(),
                             std::to_string(DLPACK_MAJOR_VERSION) + "." + std::to_string(DLPACK_MINOR_VERSION));
  }

 private:
  template <class Managed>
  static void call_deleter(void* managed) {
    auto* self = static_cast<Managed*>(managed);
    if (self->deleter) self->deleter(self);
  }

  void discard() {
    void* managed = std::exchange(managed_, nullptr);
    if (!managed) return;
    versioned_ ? call_deleter<DLManagedTensorVersioned>(managed) : call_deleter<DLManagedTensor>(managed);
  }

  void* managed_ = nullptr;
  bool versioned_ = true;
};

}  // namespace

void* to_pointer(Napi::Value value, const std::string& where) {
  uint64_t address = to_uint64(value, where);
  if (address == 0) refuse(where, "an address", value);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): JavaScript has addresses as integers only
  return reinterpret_cast<void*>(static_cast<uintptr_t>(address));
}

std::optional<uint64_t> to_stream(Napi::Value value, at::Device device, const std::string& where) {
  if (value.IsUndefined() || value.IsNull()) return std::nullopt;
  if (!device.is_cuda()) {
    throw bad_value(where, words("none, as the memory is on ", in_quotes(device.str()), " and streams are CUDA's"),
                    describe(value));
  }
  bool lossless = false;
  if (value.IsBigInt() && value.As<Napi::BigInt>().Int64Value(&lossless) == -1 && lossless) return std::nullopt;
  uint64_t stream = to_uint64(value, where);
  if (stream == 0) {
    refuse(where, "1n for the legacy default stream or 2n for the thread's, since 0n could mean either", value);
  }
  return stream;
}

void run_after(at::Device device, std::optional<uint64_t> stream) {
#ifdef EAM_WITH_CUDA
  if (stream) ops::run_after(device, *stream);
#else
  (void)device, (void)stream;
#endif
}

void run_before(at::Device device, std::optional<uint64_t> stream) {
#ifdef EAM_WITH_CUDA
  if (stream) ops::run_before(device, *stream);
#else
  (void)device, (void)stream;
#endif
}

Napi::Object wrap_dlpack(Napi::Env env, const at::Tensor& tensor, bool versioned, bool read_only) {
  Napi::EscapableHandleScope scope(env);
  void* managed;
  if (versioned) {
    DLManagedTensorVersioned* made = at::toDLPackVersioned(tensor);
    if (read_only) made->flags |= DLPACK_FLAG_BITMASK_READ_ONLY;
    managed = made;
  } else {
    if (read_only) {
      throw Error(ErrorKind::config,
                  "toDLPack: a tensor over memory that must not be changed needs the versioned "
                  "protocol, which can say so; leave out `versioned: false`, or copy the tensor");
    }
    managed = at::toDLPack(tensor);
  }
  return scope
      .Escape(instance(env).constructor<CapsuleObject>().New(
          {Napi::External<void>::New(env, managed), Napi::Boolean::New(env, versioned)}))
      .As<Napi::Object>();
}

ops::Imported take_dlpack(Napi::Value value) {
  void* managed;
  bool versioned;
  if (CapsuleObject::is(value)) {
    auto& capsule = *CapsuleObject::Unwrap(value.As<Napi::Object>());
    versioned = capsule.versioned();
    managed = capsule.take("Tensor.fromDLPack: the capsule");
  } else {
    Options options(value, "Tensor.fromDLPack", {"pointer", "versioned"});
    managed = to_pointer(options.get("pointer"), options.where("pointer"));
    if (reinterpret_cast<uintptr_t>(managed) % alignof(DLManagedTensor) != 0) {
      throw bad_value(options.where("pointer"), "the address of a DLPack struct", "an unaligned one");
    }
    versioned = options.boolean("versioned", true);
  }
  return named("Tensor.fromDLPack", [&] {
    return versioned ? ops::from_dlpack(static_cast<DLManagedTensorVersioned*>(managed))
                     : ops::from_dlpack(static_cast<DLManagedTensor*>(managed));
  });
}

void define_dlpack(Napi::Env env, Napi::Object) {
  Napi::Object symbols = env.Global().Get("Symbol").As<Napi::Object>();
  Napi::Function constructor = CapsuleObject::DefineClass(
      env, "DLPackCapsule",
      {
          CapsuleObject::InstanceAccessor("version", &CapsuleObject::version, nullptr, napi_enumerable),
          CapsuleObject::InstanceAccessor("consumed", &CapsuleObject::consumed, nullptr, napi_enumerable),
          CapsuleObject::InstanceMethod("release", &CapsuleObject::release),
          CapsuleObject::InstanceMethod("dispose", &CapsuleObject::dispose),
          CapsuleObject::InstanceMethod(symbols.Get("dispose").As<Napi::Symbol>(), &CapsuleObject::dispose),
      });
  instance(env).constructor<CapsuleObject>() = Napi::Persistent(constructor);
}

}  // namespace eam::addon
