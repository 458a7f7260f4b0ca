#include "nn/layers/checks.h"

#include <ATen/core/Tensor.h>

namespace eam::nn {

void check_multiple(const char* name, int64_t value, const char* of, int64_t unit) {
  if (value % unit == 0) return;
  throw bad_value(name, words("a multiple of ", of, " ", unit), value);
}

at::Tensor checked_ids(const at::Tensor& ids, int64_t vocabulary, int64_t positions, at::Device device) {
  if (!at::isIntegralType(ids.scalar_type(), /*includeBool=*/false) || ids.dim() != 2 || ids.numel() == 0) {
    shape_error("ids is ", ids.scalar_type(), " ", ids.sizes(), ", expected int64 [B, L], at least one token");
  }
  if (positions > 0 && ids.size(1) > positions) {
    shape_error("ids has ", ids.size(1), " tokens a row, the encoder has positions for ", positions,
                "; truncate the prompts to that");
  }
  const int64_t lowest = ids.min().item<int64_t>(), highest = ids.max().item<int64_t>();
  if (lowest < 0 || highest >= vocabulary) {
    shape_error("ids has a token ", lowest < 0 ? lowest : highest, ", the encoder's vocabulary is 0 to ",
                vocabulary - 1, "; use the tokenizer that belongs to it");
  }
  return ids.to(device, at::kLong);
}

}  // namespace eam::nn
