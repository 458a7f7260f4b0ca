#pragma once

#include <cstdint>
#include <vector>

#include "algorithms/flow_matching_options.h"
#include "ops/cancellation.h"
#include "ops/flow_model.h"

namespace eam {

struct FlowMatchingLoss {
  double loss;                    // mean of per_sample
  std::vector<float> per_sample;  // mean over elements and its times of (v(x_t, t) − (x_1 − ε))²
};

// One step of flow matching (arXiv 2210.02747) on data x1 [B, …]: adds ∂loss/∂parameters to the trainable tensors'
// .grad. Each sample is regressed on at R = times_each times: row r B + b is sample b's r-th. Times are stratified over
// the rows, one in each (B R)-th of the distribution, so that a sample has one in each R-th; logit_normal is the
// standard one of arXiv 2403.03206. All random numbers come from the streams (step, row, purpose) of `seed`.
FlowMatchingLoss flow_matching(FlowModel& model, const at::Tensor& x1, const Conditioning& conditioning,
                               const Conditioning& unconditional, const FlowMatchingOptions& options, uint64_t seed,
                               uint64_t step, const Cancellation& cancellation);

}  // namespace eam
