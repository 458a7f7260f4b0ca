#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "ops/error.h"

// The one description of a struct of options: a name, a type, a range, a default and a text for each of its members.
// It checks the struct (`checked`), reads it from a JavaScript object (addon/convert/options.h) and is what
// `npm run generate` makes lib/runtime/native/options.generated.ts of. A struct and its description stand in
// NAME_options.h and NAME_options.cpp, which include no header of LibTorch: the generator compiles them alone.
//
//   struct SolverOptions {
//     int steps = 8;
//     static const OptionTable& table();
//   };
//   const OptionTable& SolverOptions::table() {
//     static const OptionTable table = Describe<SolverOptions>("SolverOptions", "These options …")
//         .option<&SolverOptions::steps>("steps", at_least(1), "The solver takes this many steps.");
//     return table;
//   }
//
// The member's type says what the option is: a number (double), whole number (int, int64_t), true or false (bool), one
// of a few names (an enumeration with `choices_of`), text (std::string), list of any of these but the names
// (std::vector), pair of numbers (std::pair), seed (uint64_t, a bigint), or options of their own (a described struct).
// A std::optional of one of them may be left out and then has no value; any other that is left out has the value of a
// new struct, unless `required`.
namespace eam {

// The numbers that are valid: at_least(0).below(1).
struct Range {
  double least = -std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::infinity();
  bool least_excluded = false, most_excluded = false;

  constexpr Range at_most(double value) const { return {least, value, least_excluded, false}; }
  constexpr Range below(double value) const { return {least, value, least_excluded, true}; }
};
constexpr Range at_least(double value) {
  return {value, std::numeric_limits<double>::infinity(), false, false};
}
constexpr Range above(double value) {
  return {value, std::numeric_limits<double>::infinity(), true, false};
}

// The names of an enumeration's values, 0, 1, …, found by `const Choices& choices_of(Enumeration)` beside it.
struct Choices {
  std::string type;  // the TypeScript type that is exported for them; empty: written out where it is used
  std::string text;
  std::vector<std::string> names;
};

enum class OptionKind { boolean, number, integer, choice, text, numbers, integers, texts, rows, seed, object, given };

// A choice is its name. No value: an option that was left out and has no default.
using OptionValue = std::variant<std::monostate, bool, double, uint64_t, std::string, std::vector<double>,
                                 std::vector<std::string>, std::vector<std::vector<double>>>;

class OptionTable;

struct Option {
  std::string name;  // JavaScript's
  OptionKind kind;
  Range range;        // of each number
  size_t length = 0;  // of a list; 0: any
  const Choices* choices = nullptr;
  const OptionTable* table = nullptr;  // of an object
  std::string type;                    // TypeScript's, of what is given
  bool required = false;               // has to be given
  bool optional = false;               // has no default
  bool switched = false;               // an optional object, or true for one of defaults alone, or false for none
  std::string text;

  std::function<OptionValue(const void* options)> get;
  std::function<void(void* options, const OptionValue& value)> set;
  std::function<const void*(const void* options)> object;  // nullptr: left out
  std::function<void*(void* options)> make_object;         // of defaults
};

class OptionTable {
 public:
  std::string name;  // TypeScript's interface
  std::string text;
  std::string tag;                    // the value of `name` by which a configuration asks for these options
  bool validated = false;             // configurations hold them: a schema is generated
  const OptionTable* base = nullptr;  // whose options come first
  std::vector<Option> options;        // the base's included
  const void* defaults = nullptr;     // a new struct

  const Option* find(std::string_view option) const;
};

// Error(config) for the first number outside its range: "Eam: C: expected a number above 0.5, got 0.4".
void check_options(const OptionTable& table, const void* options, const std::string& where);

template <class Options>
const Options& checked(const Options& options, const std::string& where) {
  check_options(Options::table(), &options, where);
  return options;
}

// Error(config) for one number of an option, before it is stored.
void check_number(const Option& option, double value, const std::string& where);

// Where an option is: "Eam: C" in "Eam", "loadModel: config.heads" in "loadModel: config".
std::string option_path(const std::string& where, std::string_view option);

// "Eam: lamda: unknown key; did you mean "lambda"?"
Error unknown_key(const std::string& where, const std::string& key, const std::vector<std::string_view>& known);

// "one of "euler", "heun""
std::string one_of(const std::vector<std::string>& names);

namespace described {

template <class Type>
concept Struct = requires { Type::table(); };

template <class Type>
struct Optional : std::false_type {
  using Value = Type;
};
template <class Type>
struct Optional<std::optional<Type>> : std::true_type {
  using Value = Type;
};

template <class Pointer>
struct Member;
template <class Owner, class Type>
struct Member<Type Owner::*> {
  using Value = Type;
};

template <class Type>
OptionKind kind_of() {
  if constexpr (std::is_same_v<Type, bool>) return OptionKind::boolean;
  if constexpr (std::is_same_v<Type, double>) return OptionKind::number;
  if constexpr (std::is_same_v<Type, int> || std::is_same_v<Type, int64_t>) return OptionKind::integer;
  if constexpr (std::is_same_v<Type, uint64_t>) return OptionKind::seed;
  if constexpr (std::is_enum_v<Type>) return OptionKind::choice;
  if constexpr (std::is_same_v<Type, std::string>) return OptionKind::text;
  if constexpr (std::is_same_v<Type, std::vector<double>>) return OptionKind::numbers;
  if constexpr (std::is_same_v<Type, std::pair<double, double>>) return OptionKind::numbers;
  if constexpr (std::is_same_v<Type, std::vector<int64_t>>) return OptionKind::integers;
  if constexpr (std::is_same_v<Type, std::vector<std::string>>) return OptionKind::texts;
  if constexpr (std::is_same_v<Type, std::vector<std::vector<double>>>) return OptionKind::rows;
  return OptionKind::object;
}

template <class Type>
OptionValue to_value(const Type& member) {
  if constexpr (std::is_same_v<Type, int> || std::is_same_v<Type, int64_t>) {
    return static_cast<double>(member);
  } else if constexpr (std::is_enum_v<Type>) {
    return choices_of(member).names.at(static_cast<size_t>(member));
  } else if constexpr (std::is_same_v<Type, std::pair<double, double>>) {
    return std::vector<double>{member.first, member.second};
  } else if constexpr (std::is_same_v<Type, std::vector<int64_t>>) {
    return std::vector<double>(member.begin(), member.end());
  } else {
    return member;
  }
}

template <class Type>
void from_value(Type& member, const OptionValue& value) {
  if constexpr (std::is_same_v<Type, int> || std::is_same_v<Type, int64_t>) {
    member = static_cast<Type>(std::get<double>(value));
  } else if constexpr (std::is_enum_v<Type>) {
    const std::vector<std::string>& names = choices_of(Type{}).names;
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == std::get<std::string>(value)) member = static_cast<Type>(i);
    }
  } else if constexpr (std::is_same_v<Type, std::pair<double, double>>) {
    const auto& numbers = std::get<std::vector<double>>(value);
    member = {numbers.at(0), numbers.at(1)};
  } else if constexpr (std::is_same_v<Type, std::vector<int64_t>>) {
    const auto& numbers = std::get<std::vector<double>>(value);
    member.assign(numbers.begin(), numbers.end());
  } else {
    member = std::get<Type>(value);
  }
}

}  // namespace described

// Builds the OptionTable of a struct.
template <class Options>
class Describe {
 public:
  Describe(std::string name, std::string text) {
    static const Options defaults{};
    table_.name = std::move(name);
    table_.text = std::move(text);
    table_.defaults = &defaults;
  }

  // These options are what `name: 'tag'` asks for in a configuration.
  Describe& tag(std::string tag) {
    table_.tag = std::move(tag);
    return validated();
  }

  // Configurations and calls from TypeScript hold these options.
  Describe& validated() {
    table_.validated = true;
    return *this;
  }

  // The options of a base class come first.
  template <described::Struct Base>
  Describe& includes() {
    static_assert(std::is_base_of_v<Base, Options>);
    table_.base = &Base::table();
    for (Option option : Base::table().options) {
      if (option.get) {
        option.get = [get = option.get](const void* options) { return get(as_base<Base>(options)); };
        option.set = [set = option.set](void* options, const OptionValue& value) {
          set(as_base<Base>(options), value);
        };
      }
      if (option.object) {
        option.object = [object = option.object](const void* options) { return object(as_base<Base>(options)); };
        option.make_object = [make = option.make_object](void* options) { return make(as_base<Base>(options)); };
      }
      table_.options.push_back(std::move(option));
    }
    return *this;
  }

  template <auto Pointer>
  Describe& option(std::string name, Range range, std::string text) {
    add<Pointer>(std::move(name), range, std::move(text));
    return *this;
  }
  template <auto Pointer>
  Describe& option(std::string name, std::string text) {
    return option<Pointer>(std::move(name), Range{}, std::move(text));
  }

  template <auto Pointer>
  Describe& required(std::string name, Range range, std::string text) {
    add<Pointer>(std::move(name), range, std::move(text)).required = true;
    return *this;
  }
  template <auto Pointer>
  Describe& required(std::string name, std::string text) {
    return required<Pointer>(std::move(name), Range{}, std::move(text));
  }

  // What the struct does not hold and the addon reads itself, such as a tensor, of this TypeScript type.
  Describe& given(std::string name, std::string type, std::string text) {
    add_given(std::move(name), std::move(type), std::move(text)).required = true;
    return *this;
  }
  Describe& maybe_given(std::string name, std::string type, std::string text) {
    add_given(std::move(name), std::move(type), std::move(text)).optional = true;
    return *this;
  }

  // An optional struct, or true for its defaults, or false for none.
  template <auto Pointer>
  Describe& switched(std::string name, std::string text) {
    static_assert(described::Optional<typename described::Member<decltype(Pointer)>::Value>::value);
    add<Pointer>(std::move(name), Range{}, std::move(text)).switched = true;
    return *this;
  }

  operator OptionTable() const { return table_; }

 private:
  template <class Base>
  static const void* as_base(const void* options) {
    return static_cast<const Base*>(static_cast<const Options*>(options));
  }
  template <class Base>
  static void* as_base(void* options) {
    return static_cast<Base*>(static_cast<Options*>(options));
  }

  Option& add_given(std::string name, std::string type, std::string text) {
    Option& option = table_.options.emplace_back();
    option.name = std::move(name);
    option.kind = OptionKind::given;
    option.type = std::move(type);
    option.text = std::move(text);
    return option;
  }

  template <auto Pointer>
  Option& add(std::string name, Range range, std::string text) {
    using Member = typename described::Member<decltype(Pointer)>::Value;
    using Value = typename described::Optional<Member>::Value;
    constexpr bool optional = described::Optional<Member>::value;
    Option& option = table_.options.emplace_back();
    option.name = std::move(name);
    option.kind = described::kind_of<Value>();
    option.range = range;
    option.text = std::move(text);
    option.optional = optional;
    if constexpr (std::is_same_v<Value, std::pair<double, double>>) option.length = 2;
    if constexpr (std::is_enum_v<Value>) option.choices = &choices_of(Value{});
    if constexpr (std::is_same_v<Value, int>) {
      if (option.range.most > std::numeric_limits<int>::max()) {
        option.range = option.range.at_most(std::numeric_limits<int>::max());
      }
    }
    if constexpr (described::Struct<Value>) {
      option.table = &Value::table();
      option.object = [](const void* options) -> const void* {
        const Member& member = static_cast<const Options*>(options)->*Pointer;
        if constexpr (optional) {
          return member ? &*member : nullptr;
        } else {
          return &member;
        }
      };
      option.make_object = [](void* options) -> void* {
        Member& member = static_cast<Options*>(options)->*Pointer;
        member = Value{};
        if constexpr (optional) {
          return &*member;
        } else {
          return &member;
        }
      };
    } else {
      option.get = [](const void* options) -> OptionValue {
        const Member& member = static_cast<const Options*>(options)->*Pointer;
        if constexpr (optional) {
          return member ? described::to_value<Value>(*member) : OptionValue{};
        } else {
          return described::to_value<Value>(member);
        }
      };
      option.set = [](void* options, const OptionValue& value) {
        Member& member = static_cast<Options*>(options)->*Pointer;
        if constexpr (optional) member.emplace();
        if constexpr (optional) {
          described::from_value<Value>(*member, value);
        } else {
          described::from_value<Value>(member, value);
        }
      };
    }
    return option;
  }

  OptionTable table_;
};

}  // namespace eam
