#include "nn/layers/lora_parts.h"

#include <ATen/ops/block_diag.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "ops/error.h"
#include "ops/rows.h"

namespace eam::nn {

namespace {

void check(const LoraPair& pair) {
  if (pair.A.dim() == 2 && pair.B.dim() == 2 && pair.A.size(0) == pair.B.size(1)) return;
  throw bad_shape("lora_A and lora_B", "[rank, in] and [out, rank]", words(pair.A.sizes(), " and ", pair.B.sizes()));
}

bool has_numbers(const at::Tensor& tensor) {
  return tensor.any().item<bool>();
}

std::vector<at::Tensor> all_A(const std::vector<LoraPair>& parts) {
  std::vector<at::Tensor> found;
  for (const LoraPair& part : parts) found.push_back(part.A);
  return found;
}

}  // namespace

LoraPair summed(const std::vector<LoraPair>& parts, const std::vector<double>& scales, int64_t rank) {
  if (parts.empty() || parts.size() != scales.size()) {
    throw bad_shape("scales", words("one for each of at least one part"), words(scales.size(), " of ", parts.size()));
  }
  std::vector<at::Tensor> As, Bs;
  int64_t filled = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto& [A, B] = parts[i];
    check(parts[i]);
    if (A.size(1) != parts[0].A.size(1) || B.size(0) != parts[0].B.size(0)) {
      throw bad_shape("lora_A and lora_B",
                      words("those of one layer, ", parts[0].A.sizes(), " and ", parts[0].B.sizes()),
                      words(A.sizes(), " and ", B.sizes()));
    }
    filled += A.size(0);
    As.push_back(A.to(at::kFloat));
    // Rounded once, whatever type it was stored in.
    Bs.push_back(scales[i] == 1 ? B.to(at::kFloat) : B.to(at::kDouble).mul(scales[i]).to(at::kFloat));
  }
  if (filled < rank) {
    As.push_back(at::zeros({rank - filled, As[0].size(1)}, As[0].options()));
    Bs.push_back(at::zeros({Bs[0].size(0), rank - filled}, Bs[0].options()));
  }
  const at::Tensor A = at::cat(As, 0), B = at::cat(Bs, 1);
  if (filled > rank && has_numbers(B.narrow(1, rank, filled - rank))) {
    throw bad_value("rank", words("at least ", filled, ", which the parts have"), rank);
  }
  return {A.narrow(0, 0, rank).contiguous(), B.narrow(1, 0, rank).contiguous()};
}

LoraPair stacked(const std::vector<LoraPair>& parts) {
  std::vector<at::Tensor> Bs;
  int64_t rank = 0;
  for (const LoraPair& part : parts) {
    check(part);
    rank += part.A.size(0);
    Bs.push_back(part.B);
  }
  const std::vector<at::Tensor> As = all_A(parts);
  return {ops::join_rows(As, {rank, As.empty() ? 0 : As[0].size(1)}), at::block_diag(Bs)};
}

std::vector<LoraPair> unstacked(const LoraPair& pair, int64_t parts) {
  check(pair);
  const std::vector<at::Tensor> Bs = ops::split_rows(pair.B, parts);
  const int64_t rank = pair.A.size(0), share = rank / parts;
  bool are_blocks = rank % parts == 0;
  for (int64_t i = 0; are_blocks && i < parts; ++i) {
    const int64_t end = (i + 1) * share;
    are_blocks = !has_numbers(Bs[i].narrow(1, 0, i * share)) && !has_numbers(Bs[i].narrow(1, end, rank - end));
  }
  std::vector<LoraPair> found;
  for (int64_t i = 0; i < parts; ++i) {
    if (are_blocks) {
      LoraPair part = {pair.A.narrow(0, i * share, share).clone(), Bs[i].narrow(1, i * share, share).clone()};
      found.push_back(has_numbers(part.A) || has_numbers(part.B) ? std::move(part) : LoraPair{});
    } else {
      found.push_back({pair.A.clone(), Bs[i]});
    }
  }
  return found;
}

}  // namespace eam::nn
