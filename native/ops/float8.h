#pragma once

#include <c10/core/ScalarType.h>

namespace eam {

// What numbers that are stored in 8 bits are computed in, where nobody says otherwise: float16 holds every number of
// both types (arXiv 2209.05433, table 1) exactly. Every other type is its own.
inline at::ScalarType widened(at::ScalarType stored) {
  return c10::isFloat8Type(stored) ? at::kHalf : stored;
}

}  // namespace eam
