#pragma once

#include <stdexcept>
#include <string>

namespace eam::io {

// Throws std::runtime_error: what is wrong with the file that is being read; the caller puts its name before it.
[[noreturn]] inline void refuse(const std::string& what) {
  throw std::runtime_error(what);
}

}  // namespace eam::io
