#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace eam::nn {

// The update B A of a layer's weights, of A [rank, in] and B [out, rank].
struct LoraPair {
  at::Tensor A, B;
};

// Σ scale · B A as one pair of this rank in float32: the ranks of the parts one after the other, then zeros. Where they
// are more than that, the last are left out; Error(config) if B is not zero there. Error(shape) where the parts are not
// of one layer.
LoraPair summed(const std::vector<LoraPair>& parts, const std::vector<double>& scales, int64_t rank);

// The pair of a layer whose rows are those of the parts' layers, one below the other: its rank is the sum of theirs,
// and its B is zero outside of the parts' blocks.
LoraPair stacked(const std::vector<LoraPair>& parts);

// The pairs of the layers whose rows, equally many, stand one below the other in the pair's layer. Of a B that is zero
// outside of equal blocks, as `stacked` makes it, each has its block's share of the rank, and else all of it. Without
// tensors where all of its numbers are zero: nothing was adapted there.
std::vector<LoraPair> unstacked(const LoraPair& pair, int64_t parts);

}  // namespace eam::nn
