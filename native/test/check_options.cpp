// Describes a struct with every kind of option and checks what its table says, reads, stores and refuses.
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "ops/options.h"

namespace {

using namespace eam;

int failures = 0;

void expect(const std::string& what, const std::string& found, const std::string& expected) {
  if (found == expected) return;
  ++failures;
  std::printf("%s: expected %s\n  got %s\n", what.c_str(), expected.c_str(), found.c_str());
}

enum class Colour { red, green };
const Choices& choices_of(Colour) {
  static const Choices choices = {"", "", {"red", "green"}};
  return choices;
}

struct Inner {
  double part = 0.5;
  static const OptionTable& table() {
    static const OptionTable table =
        Describe<Inner>("Inner", "").option<&Inner::part>("part", at_least(0).at_most(1), "");
    return table;
  }
};

struct Base {
  double scale = 1;
  static const OptionTable& table() {
    static const OptionTable table = Describe<Base>("Base", "").option<&Base::scale>("scale", above(0), "");
    return table;
  }
};

struct Padding {
  double before = 7;
};

// Its base with the options does not come first.
struct Outer : Padding, Base {
  bool flag = true;
  int small = 3;
  int64_t large = 4;
  uint64_t seed = 5;
  Colour colour = Colour::green;
  std::string name = "name";
  std::vector<double> numbers = {0.5};
  std::pair<double, double> both = {0.25, 0.75};
  std::vector<int64_t> integers = {1, 2};
  std::vector<std::string> texts = {"a"};
  std::vector<std::vector<double>> rows = {{1}, {2, 3}};
  std::optional<double> maybe;
  Inner inner;
  std::optional<Inner> maybe_inner, switched;

  static const OptionTable& table() {
    static const OptionTable table = Describe<Outer>("Outer", "")
                                         .includes<Base>()
                                         .option<&Outer::flag>("flag", "")
                                         .option<&Outer::small>("small", at_least(1), "")
                                         .option<&Outer::large>("large", at_least(1), "")
                                         .option<&Outer::seed>("seed", "")
                                         .option<&Outer::colour>("colour", "")
                                         .option<&Outer::name>("name", "")
                                         .option<&Outer::numbers>("numbers", at_least(0).below(1), "")
                                         .option<&Outer::both>("both", at_least(0).below(1), "")
                                         .option<&Outer::integers>("integers", at_least(0), "")
                                         .option<&Outer::texts>("texts", "")
                                         .option<&Outer::rows>("rows", above(0), "")
                                         .option<&Outer::maybe>("maybe", above(0), "")
                                         .option<&Outer::inner>("inner", "")
                                         .option<&Outer::maybe_inner>("maybeInner", "")
                                         .switched<&Outer::switched>("switched", "")
                                         .given("tensor", "Tensor", "");
    return table;
  }
};

std::string refusal(const Outer& options) {
  try {
    checked(options, "f");
    return "taken";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string text_of(const Option& option, const Outer& options) {
  const OptionValue value = option.get(&options);
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const double* number = std::get_if<double>(&value)) return number_text(*number);
  if (const uint64_t* seed = std::get_if<uint64_t>(&value)) return std::to_string(*seed) + "n";
  if (const auto* text = std::get_if<std::string>(&value)) return in_quotes(*text);
  if (const auto* list = std::get_if<std::vector<double>>(&value)) return words(list->size(), " numbers");
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) return words(list->size(), " texts");
  if (const auto* list = std::get_if<std::vector<std::vector<double>>>(&value)) return words(list->size(), " rows");
  return "none";
}

void check_values() {
  const std::pair<const char*, const char*> expected[] = {
      {"scale", "1"},        {"flag", "true"},          {"small", "3"},       {"large", "4"},
      {"seed", "5n"},        {"colour", "\"green\""},   {"name", "\"name\""}, {"numbers", "1 numbers"},
      {"both", "2 numbers"}, {"integers", "2 numbers"}, {"texts", "1 texts"}, {"rows", "2 rows"},
      {"maybe", "none"}};
  Outer changed;
  changed.scale = 9;
  changed.flag = false;
  changed.small = 8;
  changed.colour = Colour::red;
  changed.both = {0, 0};
  changed.maybe = 1;
  const Outer fresh;
  for (const auto& [name, text] : expected) {
    const Option& option = *Outer::table().find(name);
    expect(name, text_of(option, fresh), text);
    const OptionValue value = option.get(&fresh);
    if (std::holds_alternative<std::monostate>(value)) continue;
    option.set(&changed, value);
    expect(std::string(name) + " once set", text_of(option, changed), text);
  }
  expect("what lies before the base", number_text(changed.before), "7");
  expect("the largest of 32 bits", number_text(Outer::table().find("small")->range.most), "2147483647");
}

void check_refusals() {
  const auto after = [](const auto& change) {
    Outer options;
    change(options);
    return refusal(options);
  };
  expect("as it is", refusal({}), "taken");
  expect("the base's", after([](Outer& o) { o.scale = 0; }), "f: scale: expected a number above 0, got 0");
  expect("NaN", after([](Outer& o) { o.scale = 0.0 / 0.0; }), "f: scale: expected a finite number, got NaN");
  expect("infinity", after([](Outer& o) { o.maybe = 1 / 0.0; }), "f: maybe: expected a finite number, got Infinity");
  expect("a whole number", after([](Outer& o) { o.large = -3; }), "f: large: expected a number of at least 1, got -3");
  expect("past JavaScript's", after([](Outer& o) { o.large = int64_t{1} << 60; }),
         "f: large: expected a number of at most 9007199254740991, got 1152921504606847000");
  expect("of a list", after([](Outer& o) { o.numbers = {0, 1}; }), "f: numbers[1]: expected a number below 1, got 1");
  expect("of a pair", after([](Outer& o) { o.both.second = 1; }), "f: both[1]: expected a number below 1, got 1");
  expect("of whole numbers", after([](Outer& o) { o.integers = {1, -1}; }),
         "f: integers[1]: expected a number of at least 0, got -1");
  expect("of rows", after([](Outer& o) { o.rows[1][1] = 0; }), "f: rows[1][1]: expected a number above 0, got 0");
  expect("nested", after([](Outer& o) { o.inner.part = 1.5; }),
         "f: inner.part: expected a number of at most 1, got 1.5");
  expect("nested and optional", after([](Outer& o) { o.maybe_inner = Inner{-1}; }),
         "f: maybeInner.part: expected a number of at least 0, got -1");
  expect("switched on", after([](Outer& o) { o.switched = Inner{1e-8 - 1}; }),
         "f: switched.part: expected a number of at least 0, got -0.99999999");

  Outer options;
  options.switched = Inner{1};
  const Option& inner = *Outer::table().find("switched");
  expect("an object made anew", number_text(static_cast<Inner*>(inner.make_object(&options))->part), "0.5");
  expect("an object that is there", inner.object(&options) ? "there" : "left out", "there");
  expect("an object that is not", Outer::table().find("maybeInner")->object(&options) ? "there" : "left out",
         "left out");
}

void check_words() {
  for (const auto& [number, text] : {std::pair{0.1, "0.1"},
                                     {1e9, "1000000000"},
                                     {-1e-7, "-1e-7"},
                                     {1e21, "1e+21"},
                                     {1.0000000000000002, "1.0000000000000002"},
                                     {123456789012345680.0, "123456789012345680"},
                                     {5e-324, "5e-324"},
                                     {0.000001, "0.000001"}}) {
    expect("a number's text", number_text(number), text);
  }
  const auto unknown = [](const char* key) {
    return std::string(unknown_key("f", key, {"lambda", "microBatch"}).what());
  };
  expect("two letters swapped", unknown("lamdba"), "f: lamdba: unknown key; did you mean \"lambda\"?");
  expect("another case", unknown("microbatch"), "f: microbatch: unknown key; did you mean \"microBatch\"?");
  expect("nothing near", unknown("steps"), "f: steps: unknown key; known keys: lambda, microBatch");
  expect("one of several", one_of({"a", "b"}), "one of \"a\", \"b\"");
  expect("one alone", one_of({"a"}), "\"a\"");
  expect("quotes and breaks", in_quotes("a \"b\"\n\\"), R"("a \"b\"\n\\")");
  expect("a long text", in_quotes(std::string(200, 'x')), "\"" + std::string(76, 'x') + "...");
}

}  // namespace

int main() {
  check_values();
  check_refusals();
  check_words();
  std::printf("%s\n", failures ? (std::to_string(failures) + " mismatches").c_str() : "all checks passed");
  return failures ? 1 : 0;
}
