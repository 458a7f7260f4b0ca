#pragma once

#include <cstdint>
#include <vector>

#include "algorithms/flow_matching_options.h"
#include "ops/cancellation.h"
#include "ops/flow_model.h"

namespace eam {

struct FlowMatchingLoss {
  double loss;                    // mean of per_sample
  std::vector<float> per_sample;  // mean over elements of (v(x_t, t) − (x_1 − ε))²
};

// One step of flow matching (arXiv 2210.02747) on data x1 [B, …]: adds ∂loss/∂parameters to the trainable tensors'
// .grad. Times are stratified over the batch, one in each B-th of the distribution; logit_normal is the standard one
// of arXiv 2403.03206. All random numbers come from the streams (step, sample, purpose) of `seed`.
FlowMatchingLoss flow_matching(FlowModel& model, const at::Tensor& x1, const Conditioning& conditioning,
                               const Conditioning& unconditional, const FlowMatchingOptions& options, uint64_t seed,
                               uint64_t step, const Cancellation& cancellation);

}  // namespace eam
