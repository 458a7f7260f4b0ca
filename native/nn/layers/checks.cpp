#include "nn/layers/checks.h"

#include <ATen/core/Tensor.h>

namespace eam::nn {

void check_floating_point(std::string_view name, const at::Tensor& tensor) {
  if (tensor.is_floating_point()) return;
  throw bad_shape(name, "a floating-point type", tensor.scalar_type());
}

void check_device_of(std::string_view name, const at::Tensor& tensor, const char* what, at::Device device) {
  if (tensor.device() == device) return;
  throw bad_shape(name, words("device ", in_quotes(device.str()), " where ", what, " is"),
                  in_quotes(tensor.device().str()));
}

void check_grid(const char* name, const at::Tensor& x, int64_t channels, int64_t multiple, const char* what,
                at::Device device) {
  if (x.dim() != 4 || x.size(1) != channels || x.numel() == 0) {
    throw bad_shape(name, words("shape [B, ", channels, ", H, W], none of them 0"), x.sizes());
  }
  if (x.size(2) % multiple != 0 || x.size(3) % multiple != 0) {
    throw bad_shape(name, words("a height and width that are multiples of ", multiple), words("shape ", x.sizes()));
  }
  check_floating_point(name, x);
  check_device_of(name, x, what, device);
}

void check_multiple(const char* name, int64_t value, const char* of, int64_t unit) {
  if (value % unit == 0) return;
  throw bad_value(name, words("a multiple of ", of, " ", unit), value);
}

at::Tensor checked_ids(const at::Tensor& ids, int64_t vocabulary, int64_t positions, at::Device device) {
  if (!at::isIntegralType(ids.scalar_type(), /*includeBool=*/false) || ids.dim() != 2 || ids.numel() == 0) {
    throw bad_shape("ids", "int64 [B, L] with at least one token", words(ids.scalar_type(), " ", ids.sizes()));
  }
  if (positions > 0 && ids.size(1) > positions) {
    throw bad_shape("ids", words("at most ", positions, " tokens a row, for which the encoder has positions"),
                    words(ids.size(1), "; truncate the prompts to that"));
  }
  const int64_t lowest = ids.min().item<int64_t>(), highest = ids.max().item<int64_t>();
  if (lowest < 0 || highest >= vocabulary) {
    throw bad_shape("ids", words("tokens of the encoder's vocabulary, 0 to ", vocabulary - 1),
                    words(lowest < 0 ? lowest : highest, "; use the tokenizer that belongs to it"));
  }
  return ids.to(device, at::kLong);
}

}  // namespace eam::nn
