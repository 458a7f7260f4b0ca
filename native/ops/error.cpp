#include "ops/error.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace eam {

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  // The fewest digits that read back as the same number. std::to_chars has them only from GCC 11 on.
  char text[400];
  int digits = 1;
  do {
    std::snprintf(text, sizeof(text), "%.*e", digits - 1, value);
  } while (std::strtod(text, nullptr) != value && ++digits <= 17);
  const std::string scientific = text;
  const size_t e = scientific.find('e');
  const int exponent = std::atoi(scientific.c_str() + e + 1);
  if (value != 0 && (exponent < -6 || exponent > 20)) {
    return scientific.substr(0, e) + (exponent < 0 ? "e-" : "e+") + std::to_string(std::abs(exponent));
  }
  if (exponent < digits - 1) {
    std::snprintf(text, sizeof(text), "%.*f", digits - 1 - exponent, value);
    return text;
  }
  // Past its digits a number is written with zeros, not with what it would be in binary.
  std::string whole = scientific.substr(0, e);
  whole.erase(std::remove(whole.begin(), whole.end(), '.'), whole.end());
  return whole + std::string(exponent + 1 - digits, '0');
}

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    if (letter == '\n') {
      result += "\\n";
    } else {
      result += letter;
    }
  }
  result += '"';
  if (result.size() <= 80) return result;
  size_t end = 77;
  while ((result[end] & 0xc0) == 0x80) --end;  // not within a character
  return result.substr(0, end) + "...";
}

}  // namespace eam
