#include "ops/options.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numeric>

namespace eam {

namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& letter : result) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return result;
}

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> previous(b.size() + 1);
  std::iota(previous.begin(), previous.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::vector<size_t> row = {i};
    for (size_t j = 1; j <= b.size(); ++j) {
      row.push_back(std::min({previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)}));
    }
    previous = std::move(row);
  }
  return previous.back();
}

// Suggests what lib/schema/validate.ts suggests.
std::string_view closest(const std::string& key, const std::vector<std::string_view>& known) {
  // Two letters swapped are two edits.
  const size_t limit = std::max<size_t>(key.size() > 3 ? 2 : 1, key.size() / 3);
  std::string_view best;
  size_t least = limit + 1;
  for (const std::string_view name : known) {
    const size_t distance = edit_distance(lower(key), lower(name));
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best;
}

}  // namespace

const Option* OptionTable::find(std::string_view option) const {
  const auto found =
      std::find_if(options.begin(), options.end(), [&](const Option& one) { return one.name == option; });
  return found == options.end() ? nullptr : &*found;
}

// The words of lib/schema/validate.ts.
void check_number(const Option& option, double value, const std::string& where) {
  const bool whole = option.kind == OptionKind::integer || option.kind == OptionKind::integers;
  if (!std::isfinite(value) || (whole && value != std::trunc(value))) {
    throw bad_value(where, whole && std::isfinite(value) ? "a whole number" : "a finite number", value);
  }
  Range range = option.range;
  if (whole) {
    constexpr double largest = 9007199254740991;  // of JavaScript's whole numbers without a gap between them
    if (range.least < -largest) range.least = -largest;
    if (range.most > largest) range.most = largest;
  }
  if (range.least_excluded ? value <= range.least : value < range.least) {
    const std::string bound = words(range.least_excluded ? "a number above " : "a number of at least ", range.least);
    throw bad_value(where, bound, value);
  }
  if (range.most_excluded ? value >= range.most : value > range.most) {
    const std::string bound = words(range.most_excluded ? "a number below " : "a number of at most ", range.most);
    throw bad_value(where, bound, value);
  }
}

void check_options(const OptionTable& table, const void* options, const std::string& where) {
  for (const Option& option : table.options) {
    const std::string path = option_path(where, option.name);
    if (option.kind == OptionKind::given) continue;
    if (option.table) {
      if (const void* object = option.object(options)) check_options(*option.table, object, path);
      continue;
    }
    const OptionValue value = option.get(options);
    if (const double* number = std::get_if<double>(&value)) check_number(option, *number, path);
    const auto check_list = [&](const std::vector<double>& numbers, const std::string& list) {
      for (size_t i = 0; i < numbers.size(); ++i) check_number(option, numbers[i], words(list, "[", i, "]"));
    };
    if (const auto* numbers = std::get_if<std::vector<double>>(&value)) check_list(*numbers, path);
    if (const auto* rows = std::get_if<std::vector<std::vector<double>>>(&value)) {
      for (size_t i = 0; i < rows->size(); ++i) check_list((*rows)[i], words(path, "[", i, "]"));
    }
  }
}

std::string option_path(const std::string& where, std::string_view option) {
  if (where.empty()) return std::string(option);
  return words(where, where.find(": ") == std::string::npos ? ": " : ".", option);
}

Error unknown_key(const std::string& where, const std::string& key, const std::vector<std::string_view>& known) {
  std::string message = option_path(where, key) + ": unknown key; ";
  if (const std::string_view close = closest(key, known); !close.empty()) {
    return Error(ErrorKind::config, words(message, "did you mean \"", close, "\"?"));
  }
  message += "known keys: ";
  for (size_t i = 0; i < known.size(); ++i) message += words(i ? ", " : "", known[i]);
  return Error(ErrorKind::config, message);
}

std::string one_of(const std::vector<std::string>& names) {
  std::string text = names.size() > 1 ? "one of " : "";
  for (size_t i = 0; i < names.size(); ++i) text += words(i ? ", \"" : "\"", names[i], "\"");
  return text;
}

}  // namespace eam
