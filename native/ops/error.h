#pragma once

#include <stdexcept>
#include <string>
#include <utility>

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

}  // namespace eam
