#include "ops/rows.h"

#include <ATen/ops/cat.h>
#include <c10/util/accumulate.h>

#include "ops/error.h"

namespace eam::ops {

at::Tensor join_rows(const std::vector<at::Tensor>& tensors, at::IntArrayRef shape) {
  if (tensors.empty()) throw bad_value("tensors", "at least one", "none");
  std::vector<at::Tensor> alike;
  alike.reserve(tensors.size());
  int64_t count = 0;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.dim() < 1 || tensor.sizes().slice(1) != tensors[0].sizes().slice(1)) {
      throw bad_shape("tensors", words("rows as of the first, ", tensors[0].sizes()), words(tensor.sizes()));
    }
    count += tensor.numel();
    alike.push_back(tensor.to(tensors[0].scalar_type()));
  }
  if (c10::multiply_integers(shape) != count)
    throw bad_shape("shape", words("one of ", count, " numbers"), words(shape));
  return at::cat(alike, 0).reshape(shape);
}

std::vector<at::Tensor> split_rows(const at::Tensor& tensor, int64_t parts) {
  if (parts < 1) throw bad_value("parts", "a whole number from 1", parts);
  if (tensor.dim() < 1 || tensor.size(0) % parts != 0) {
    throw bad_shape("tensor", words("rows that go into ", parts, " parts"), words(tensor.sizes()));
  }
  std::vector<at::Tensor> found;
  for (const at::Tensor& part : tensor.chunk(parts, 0)) found.push_back(part.clone());
  return found;
}

}  // namespace eam::ops
