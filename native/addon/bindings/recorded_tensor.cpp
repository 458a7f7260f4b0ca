#include "addon/bindings/recorded_tensor.h"

#include <ATen/core/Tensor.h>

#include <map>
#include <utility>

#include "addon/convert/convert.h"
#include "addon/runtime/addon.h"
#include "addon/runtime/instance.h"

namespace eam::addon {

struct Recording {
  explicit Recording(at::Device device) : recorder(device) {}

  nn::Recorder recorder;
  std::map<const c10::TensorImpl*, nn::ValueId> constants;  // by the tensors that JavaScript has
  std::vector<at::Tensor> originals;                        // of the constants: their addresses stay theirs
};

namespace {

constexpr napi_type_tag recorded_tensor_tag = {0x7d1f3ab09c52e864, 0xb6480d2e91f7c35a};

// This JavaScript thread makes these recordings, the innermost last: a function that is recorded may compute with
// another one.
thread_local std::vector<std::shared_ptr<Recording>> recordings;

bool is_recorded(Napi::Value value) {
  return value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&recorded_tensor_tag);
}

Error without_numbers(const char* what) {
  return Error(ErrorKind::config,
               words(what,
                     ": a tensor has a shape and no numbers while its function is recorded; compute with the "
                     "functions of `ops`, and read numbers of what `compute` or the model returns"));
}

}  // namespace

void RecordedTensorObject::define(Napi::Env env, Napi::Object exports) {
  Napi::Object symbols = env.Global().Get("Symbol").As<Napi::Object>();
  const auto inspect_symbol = symbols.Get("for")
                                  .As<Napi::Function>()
                                  .Call(symbols, {Napi::String::New(env, "nodejs.util.inspect.custom")})
                                  .As<Napi::Symbol>();
  using Self = RecordedTensorObject;
  const Napi::Function constructor = DefineClass(
      env, "Tensor",
      {InstanceAccessor<&Self::shape>("shape", napi_enumerable),
       InstanceAccessor<&Self::dtype>("dtype", napi_enumerable),
       InstanceAccessor<&Self::device>("device", napi_enumerable),
       InstanceAccessor<&Self::disposed>("disposed", napi_enumerable), InstanceAccessor<&Self::trained>("trained"),
       InstanceAccessor<&Self::no_numbers>("dataPointer"), InstanceMethod<&Self::no_numbers_yet>("data"),
       InstanceMethod<&Self::no_numbers>("dataSync"), InstanceMethod<&Self::no_numbers>("toDLPack"),
       InstanceMethod<&Self::no_numbers_yet>("to"), InstanceMethod<&Self::dispose>("dispose"),
       InstanceMethod<&Self::dispose>(symbols.Get("dispose").As<Napi::Symbol>()),
       InstanceMethod<&Self::inspect>(inspect_symbol)});
  instance(env).constructor<Self>() = Napi::Persistent(constructor);
  // So that it is an instance of Tensor; every member of that is its own here.
  const auto parent = exports.Get("Tensor").As<Napi::Object>().Get("prototype");
  Napi::Object objects = env.Global().Get("Object").As<Napi::Object>();
  objects.Get("setPrototypeOf").As<Napi::Function>().Call(objects, {constructor.Get("prototype"), parent});
}

RecordedTensorObject::RecordedTensorObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<RecordedTensorObject>(info) {
  info.This().As<Napi::Object>().TypeTag(&recorded_tensor_tag);
}

const at::Tensor& RecordedTensorObject::meta(const Napi::CallbackInfo& info) const {
  if (!is_recorded(info.This()) || !recording_) throw Napi::TypeError::New(info.Env(), "the receiver is not a Tensor");
  return recording_->recorder.value(id_);
}

Napi::Value RecordedTensorObject::shape(const Napi::CallbackInfo& info) {
  return from_shape(info.Env(), meta(info).sizes());
}

Napi::Value RecordedTensorObject::dtype(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), std::string(dtype_name(meta(info).scalar_type())));
}

Napi::Value RecordedTensorObject::device(const Napi::CallbackInfo& info) {
  meta(info);
  return Napi::String::New(info.Env(), recording_->recorder.device().str());
}

Napi::Value RecordedTensorObject::disposed(const Napi::CallbackInfo& info) {
  meta(info);
  return Napi::Boolean::New(info.Env(), false);
}

Napi::Value RecordedTensorObject::trained(const Napi::CallbackInfo& info) {
  meta(info);
  return Napi::Boolean::New(info.Env(), recording_->recorder.trained(id_));
}

// There is nothing to free, and the program goes on needing it.
Napi::Value RecordedTensorObject::dispose(const Napi::CallbackInfo& info) {
  return info.Env().Undefined();
}

Napi::Value RecordedTensorObject::no_numbers(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value { throw without_numbers("Tensor"); });
}

Napi::Value RecordedTensorObject::no_numbers_yet(const Napi::CallbackInfo& info) {
  return guarded_promise(info.Env(), [&]() -> Napi::Value { throw without_numbers("Tensor"); });
}

Napi::Value RecordedTensorObject::inspect(const Napi::CallbackInfo& info) {
  const at::Tensor& value = meta(info);
  return Napi::String::New(info.Env(), words("Tensor ", dtype_name(value.scalar_type()), " ", value.sizes(),
                                             " (recorded, without numbers)"));
}

Napi::Object wrap_recorded(Napi::Env env, std::shared_ptr<Recording> recording, nn::ValueId id) {
  Napi::Object object = instance(env).constructor<RecordedTensorObject>().New({});
  RecordedTensorObject& self = *RecordedTensorObject::Unwrap(object);
  self.recording_ = std::move(recording);
  self.id_ = id;
  return object;
}

nn::ValueId recorded_value(Napi::Value value, const std::string& where, const Recording& recording) {
  const RecordedTensorObject& object = *RecordedTensorObject::Unwrap(value.As<Napi::Object>());
  if (object.recording_.get() == &recording) return object.id_;
  throw Error(ErrorKind::config,
              words(where,
                    " belongs to an earlier call of the function that is recorded: a tensor that an operator "
                    "returned is good until that function returns; do not keep it"));
}

namespace {

// A tensor of the program, or one with numbers, which becomes a constant of it.
nn::ValueId to_value_id(Napi::Value value, const std::string& where, Recording& recording) {
  if (is_recorded(value)) return recorded_value(value, where, recording);
  const TensorObject& object = to_tensor_object(value, where);
  object.check_written(where);
  const at::Tensor& tensor = object.get(where);
  const auto known = recording.constants.find(tensor.unsafeGetTensorImpl());
  if (known != recording.constants.end()) return known->second;
  if (tensor.device() != recording.recorder.device()) {
    throw bad_shape(where, words("a tensor on ", in_quotes(recording.recorder.device().str())),
                    words(in_quotes(tensor.device().str()), "; move it there first (await tensor.to({ device }))"));
  }
  const nn::ValueId id = recording.recorder.constant(object.lasting(where));
  recording.constants.emplace(tensor.unsafeGetTensorImpl(), id);
  recording.originals.push_back(tensor);
  return id;
}

nn::Operand to_operand(const nn::Parameter& parameter, Napi::Value value, const std::string& where,
                       Recording& recording) {
  const bool left_out = value.IsUndefined();
  switch (parameter.takes) {
    case nn::Takes::optional_tensor:
      if (left_out) return std::monostate();
      [[fallthrough]];
    case nn::Takes::tensor:
      return to_value_id(value, where, recording);
    case nn::Takes::tensors: {
      if (!value.IsArray() || value.As<Napi::Array>().Length() == 0) {
        refuse(where, "an array of at least one Tensor", value);
      }
      std::vector<nn::ValueId> ids;
      const auto array = value.As<Napi::Array>();
      for (uint32_t i = 0; i < array.Length(); ++i) {
        ids.push_back(to_value_id(array[i], words(where, "[", i, "]"), recording));
      }
      return ids;
    }
    case nn::Takes::summand:
      if (value.IsNumber()) return to_number(value, where);
      if (!is_recorded(value) && !is_tensor(value)) refuse(where, "a Tensor or a number", value);
      return to_value_id(value, where, recording);
    case nn::Takes::optional_number:
      if (left_out) return std::monostate();
      [[fallthrough]];
    case nn::Takes::number:
      return to_number(value, where);
    case nn::Takes::optional_integer:
      if (left_out) return std::monostate();
      [[fallthrough]];
    case nn::Takes::integer:
      return to_integer(value, where);
    case nn::Takes::optional_integers:
      if (left_out) return std::monostate();
      [[fallthrough]];
    case nn::Takes::integers:
      return to_integers(value, where);
    case nn::Takes::flag:
      return to_boolean(value, where);
    case nn::Takes::dtype:
      return floating_dtype_of(to_string(value, where), where);
    case nn::Takes::text:
      break;
  }
  return parameter.words[to_choice(Choices{{}, {}, parameter.words}, value, where)];
}

// "x float32 [2, 3], dim 5"
std::string text_of(const nn::Operator& op, const std::vector<nn::Operand>& operands, const nn::Recorder& recorder) {
  const auto shown = [&](nn::ValueId id) {
    return words(dtype_name(recorder.value(id).scalar_type()), " ", recorder.value(id).sizes());
  };
  std::string text;
  for (size_t i = 0; i < operands.size(); ++i) {
    std::string part;
    if (const auto* value = std::get_if<nn::ValueId>(&operands[i])) part = shown(*value);
    if (const auto* number = std::get_if<double>(&operands[i])) part = number_text(*number);
    if (const auto* integer = std::get_if<int64_t>(&operands[i])) part = words(*integer);
    if (const auto* integers = std::get_if<std::vector<int64_t>>(&operands[i]))
      part = words(at::IntArrayRef(*integers));
    if (const auto* several = std::get_if<std::vector<nn::ValueId>>(&operands[i])) {
      for (const nn::ValueId value : *several) part += (part.empty() ? "" : " and ") + shown(value);
    }
    if (!part.empty()) text += words(text.empty() ? "" : ", ", op.parameters[i].name, " ", part);
  }
  return text;
}

nn::ValueId checked_call(nn::Recorder& recorder, const nn::Operator& op, const std::vector<nn::Operand>& operands) {
  try {
    return recorder.call(op, operands);
  } catch (const c10::Error& error) {
    const std::string reason = error.what_without_backtrace();
    throw bad_shape(op.name, "arguments that fit",
                    words(text_of(op, operands, recorder), ": ", reason.substr(0, reason.find('\n'))));
  }
}

// record(name, arguments)
Napi::Value record(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const std::string name = to_string(info[0], "record: operator");
    const nn::Operator& op = nn::find_operator(name);
    if (recordings.empty()) {
      throw Error(ErrorKind::config,
                  words(name,
                        ": operators are recorded by a function that is given to defineModel, compute or "
                        "gradients, and are called in there"));
    }
    const std::shared_ptr<Recording>& recording = recordings.back();
    const auto arguments = info[1].As<Napi::Array>();
    std::vector<nn::Operand> operands;
    bool has_tensor = false;
    for (uint32_t i = 0; i < op.parameters.size(); ++i) {
      const nn::Parameter& parameter = op.parameters[i];
      operands.push_back(to_operand(parameter, arguments[i], words(name, ": ", parameter.name), *recording));
      has_tensor = has_tensor || operands.back().index() == 1 || operands.back().index() == 2;
    }
    if (!has_tensor) throw bad_value(name, "at least one Tensor", "numbers alone");
    return wrap_recorded(env, recording, checked_call(recording->recorder, op, operands));
  });
}

// operatorNames()
Napi::Value operator_names_js(const Napi::CallbackInfo& info) {
  return from_strings(info.Env(), nn::operator_names());
}

// Ends with the function: what it kept is refused from then on.
struct Innermost {
  explicit Innermost(std::shared_ptr<Recording> recording) { recordings.push_back(std::move(recording)); }
  ~Innermost() { recordings.pop_back(); }
  Innermost(const Innermost&) = delete;
  Innermost& operator=(const Innermost&) = delete;
};

}  // namespace

std::shared_ptr<const nn::Program> record_program(Napi::Env env, at::Device device,
                                                  const std::vector<RecordedInput>& inputs, const std::string& where,
                                                  const std::function<Napi::Value(Napi::Array values)>& function) {
  const auto recording = std::make_shared<Recording>(device);
  Napi::Array values = Napi::Array::New(env, inputs.size());
  for (uint32_t i = 0; i < inputs.size(); ++i) {
    const nn::ValueId id = recording->recorder.input(inputs[i].like, inputs[i].trained);
    values[i] = wrap_recorded(env, recording, id);
  }
  const Napi::Value result = [&] {
    const Innermost innermost(recording);
    return function(values);
  }();
  if (!is_recorded(result)) refuse(where, "a Tensor that an operator made of the function's arguments", result);
  return recording->recorder.finish(recorded_value(result, where, *recording));
}

void define_recorded_tensor(Napi::Env env, Napi::Object exports) {
  RecordedTensorObject::define(env, exports);
  exports.Set("record", Napi::Function::New<record>(env, "record"));
  exports.Set("operatorNames", Napi::Function::New<operator_names_js>(env, "operatorNames"));
}

}  // namespace eam::addon
