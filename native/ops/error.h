#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace eam {

// One kind per error class that the TypeScript surface exports. The addon maps them one to one; nothing below
// it knows JavaScript.
enum class ErrorKind { shape, config, checkpoint, out_of_memory, non_finite, disposed, cancelled };

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

// A number as JavaScript writes it: 0.1, 1000000000, 1e-8, Infinity.
std::string number_text(double value);

// The parts one after the other, numbers as JavaScript writes them and all else as a stream prints it.
template <class... Parts>
std::string words(const Parts&... parts) {
  std::ostringstream text;
  const auto add = [&text](const auto& part) {
    if constexpr (std::is_floating_point_v<std::decay_t<decltype(part)>>) {
      text << number_text(part);
    } else {
      text << part;
    }
  };
  (add(parts), ...);
  return text.str();
}

// A text as JavaScript's JSON writes it, "heun", cut short after 80 characters.
std::string in_quotes(std::string_view text);

// The one grammar of a bad value: `WHERE: expected EXPECTED, got FOUND`. `where` names the argument, after the function
// that was called where that is known: "renoise: t". `expected` and `found` are whatever `words` takes.
template <class Expected, class Found>
Error bad_value(std::string_view where, const Expected& expected, const Found& found,
                ErrorKind kind = ErrorKind::config) {
  return Error(kind, words(where, ": expected ", expected, ", got ", found));
}
template <class Expected, class Found>
Error bad_shape(std::string_view where, const Expected& expected, const Found& found) {
  return bad_value(where, expected, found, ErrorKind::shape);
}

// The grammar of a value that was not given: `WHERE: expected EXPECTED, but it is missing`.
template <class Expected>
Error missing_value(std::string_view where, const Expected& expected) {
  return Error(ErrorKind::config, words(where, ": expected ", expected, ", but it is missing"));
}

}  // namespace eam
