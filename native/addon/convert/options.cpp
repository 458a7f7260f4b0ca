#include "addon/convert/options.h"

#include "addon/convert/convert.h"

namespace eam::addon {
namespace {

double to_number_of(const Option& option, Napi::Value value, const std::string& where) {
  if (!value.IsNumber()) refuse(where, "a number", value);
  const double number = value.As<Napi::Number>().DoubleValue();
  check_number(option, number, where);
  return number;
}

template <class Entry>
auto to_list(const Option& option, Napi::Value value, const std::string& where, const Entry& entry) {
  if (!value.IsArray()) refuse(where, "an array", value);
  const auto array = value.As<Napi::Array>();
  if (option.length > 0 && array.Length() != option.length) {
    refuse(where, words("an array of ", option.length, " items"), value);
  }
  std::vector<decltype(entry(value, where))> list;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    Napi::HandleScope scope(value.Env());
    list.push_back(entry(array.Get(i), words(where, "[", i, "]")));
  }
  return list;
}

OptionValue to_value(const Option& option, Napi::Value value, const std::string& where) {
  const auto number = [&](Napi::Value entry, const std::string& place) { return to_number_of(option, entry, place); };
  const auto text = [](Napi::Value entry, const std::string& place) {
    if (!entry.IsString()) refuse(place, "a string", entry);
    return entry.As<Napi::String>().Utf8Value();
  };
  switch (option.kind) {
    case OptionKind::boolean:
      if (!value.IsBoolean()) refuse(where, "a boolean", value);
      return value.As<Napi::Boolean>().Value();
    case OptionKind::number:
    case OptionKind::integer:
      return number(value, where);
    case OptionKind::choice:
      return option.choices->names[to_choice(*option.choices, value, where)];
    case OptionKind::text:
      return text(value, where);
    case OptionKind::numbers:
    case OptionKind::integers:
      return to_list(option, value, where, number);
    case OptionKind::texts:
      return to_list(option, value, where, text);
    case OptionKind::rows:
      return to_list(option, value, where,
                     [&](Napi::Value row, const std::string& place) { return to_list(option, row, place, number); });
    case OptionKind::seed:
      return to_uint64(value, where);
    case OptionKind::object:
    case OptionKind::given:
      break;
  }
  return {};
}

}  // namespace

void read_options(const OptionTable& table, void* options, Napi::Value value, const std::string& where) {
  const Options object(value, where, table);
  read_members(table, options, value.As<Napi::Object>(), where);
}

void read_members(const OptionTable& table, void* options, Napi::Object object, const std::string& where) {
  for (const Option& option : table.options) {
    if (option.kind == OptionKind::given) continue;
    Napi::HandleScope scope(object.Env());
    const Napi::Value entry = object.Get(option.name);
    if (entry.IsUndefined() && !option.required) continue;
    const std::string path = option_path(where, option.name);
    if (!option.table) {
      option.set(options, to_value(option, entry, path));
    } else if (option.switched && entry.IsBoolean()) {
      if (entry.As<Napi::Boolean>().Value()) option.make_object(options);
    } else if (option.switched && (!entry.IsObject() || entry.IsArray())) {
      refuse(path, "a boolean or an object", entry);
    } else {
      read_options(*option.table, option.make_object(options), entry, path);
    }
  }
}

}  // namespace eam::addon
