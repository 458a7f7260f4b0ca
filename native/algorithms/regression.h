#pragma once

#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "ops/ops.h"

namespace eam {

// What one evaluation of the trained network gave: its velocity, recorded by autograd, and the loss at it.
struct Matched {
  at::Tensor velocity;
  ops::Loss loss;
};

struct RowLosses {
  std::vector<float> losses;  // one a row; NaN where the row was left out
  int64_t forwards = 0, backwards = 0;
};

// Adds the gradient of (Σ of the rows' losses)/total. evaluate(rows) evaluates the network at some of the rows 0 …
// count − 1. Rows whose loss is not finite are left out: through the backward pass they would reach every weight, so
// the others are evaluated again without them.
template <class Evaluate>
RowLosses backpropagate(int64_t count, double total, const Evaluate& evaluate) {
  std::vector<int64_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0);
  RowLosses result{std::vector<float>(count, std::numeric_limits<float>::quiet_NaN())};
  while (!rows.empty()) {
    const Matched matched = evaluate(rows);
    const std::vector<float>& losses = matched.loss.per_sample;
    result.forwards += static_cast<int64_t>(rows.size());
    std::vector<int64_t> finite;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (std::isfinite(losses[i])) finite.push_back(rows[i]);
    }
    if (finite.size() == rows.size()) {
      for (size_t i = 0; i < rows.size(); ++i) result.losses[rows[i]] = losses[i];
      matched.loss.grad.mul_(static_cast<double>(rows.size()) / total);
      torch::autograd::backward({matched.velocity}, {matched.loss.grad});
      result.backwards += static_cast<int64_t>(rows.size());
      break;
    }
    rows = finite;
  }
  return result;
}

}  // namespace eam
