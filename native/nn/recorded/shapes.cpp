#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include "nn/recorded/operator.h"
#include "ops/error.h"

namespace eam::nn {

std::vector<Operator> shape_operators() {
  using A = const Arguments&;
  return {
      {"reshape",
       {{"x", Takes::tensor}, {"shape", Takes::integers}},
       [](A a) { return a.tensor(0).reshape(a.integers(1)); }},
      {"permute",
       {{"x", Takes::tensor}, {"dims", Takes::integers}},
       [](A a) { return a.tensor(0).permute(a.integers(1)); }},
      {"transpose",
       {{"x", Takes::tensor}, {"a", Takes::integer}, {"b", Takes::integer}},
       [](A a) { return a.tensor(0).transpose(a.integer(1), a.integer(2)); }},
      {"flatten",
       {{"x", Takes::tensor}, {"from", Takes::integer}, {"to", Takes::integer}},
       [](A a) { return a.tensor(0).flatten(a.integer(1), a.integer(2)); }},
      {"unsqueeze",
       {{"x", Takes::tensor}, {"dim", Takes::integer}},
       [](A a) { return a.tensor(0).unsqueeze(a.integer(1)); }},
      {"squeeze",
       {{"x", Takes::tensor}, {"dim", Takes::integer}},
       [](A a) {
         // LibTorch leaves a dimension of another size as it is, in silence.
         const at::Tensor& x = a.tensor(0);
         if (x.size(a.integer(1)) != 1) {
           throw bad_shape(a.where(1), "a dimension of size 1", words(a.integer(1), " of shape ", x.sizes()));
         }
         return x.squeeze(a.integer(1));
       }},
      {"expand",
       {{"x", Takes::tensor}, {"shape", Takes::integers}},
       [](A a) { return a.tensor(0).expand(a.integers(1)); }},
      {"slice",
       {{"x", Takes::tensor}, {"dim", Takes::integer}, {"start", Takes::integer}, {"end", Takes::integer}},
       [](A a) {
         // LibTorch cuts what reaches beyond the end, in silence.
         const at::Tensor& x = a.tensor(0);
         const int64_t size = x.size(a.integer(1)), start = a.integer(2), end = a.integer(3);
         if (start < 0 || end <= start || end > size) {
           throw bad_shape(a.where(2), words("0 ≤ start < end ≤ ", size, ", the dimension's size"),
                           words("start ", start, ", end ", end));
         }
         return x.slice(a.integer(1), start, end);
       }},
      {"cat",
       {{"tensors", Takes::tensors}, {"dim", Takes::integer}},
       [](A a) { return at::cat(a.tensors(0), a.integer(1)); }},
      {"stack",
       {{"tensors", Takes::tensors}, {"dim", Takes::integer}},
       [](A a) { return at::stack(a.tensors(0), a.integer(1)); }},
  };
}

}  // namespace eam::nn
