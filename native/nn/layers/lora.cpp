#include "nn/layers/lora.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty_like.h>

#include <cmath>
#include <set>

#include "nn/layers/checkpointing.h"
#include "nn/layers/fold.h"
#include "nn/layers/linear_map.h"
#include "nn/layers/name_end.h"
#include "ops/checks.h"
#include "ops/error.h"

namespace eam::nn {

Linear::Linear(Parameters& parameters, std::string name, int64_t in, int64_t out, double standard_deviation)
    : name_(std::move(name)),
      weight_(standard_deviation > 0 ? parameters.normal(name_ + ".weight", {out, in}, standard_deviation)
                                     : parameters.zeros(name_ + ".weight", {out, in})),
      bias_(parameters.zeros(name_ + ".bias", {out})) {}

Linear::Linear(StoredWeights& weights, std::string name, int64_t in, int64_t out, bool bias)
    : name_(std::move(name)), weight_(weights.take(name_ + ".weight", {out, in})) {
  if (bias) bias_ = weights.take(name_ + ".bias", {out});
}

void Linear::adapt(Parameters& adapters, int64_t rank, double alpha) {
  const int64_t in = weight_.size(1), out = weight_.size(0);
  lora_A_ = adapters.normal(name_ + ".lora_A.weight", {rank, in}, 1 / std::sqrt(static_cast<double>(in)));
  lora_B_ = adapters.zeros(name_ + ".lora_B.weight", {out, rank});
  scale_ = alpha / static_cast<double>(rank);
}

void Linear::fold(at::Tensor into) {
  folded_ = into.defined() ? std::move(into) : at::empty_like(weight_);
  folded_.copy_(folded(weight_, lora_A_, lora_B_, scale_));
}

at::Tensor Linear::forward(const at::Tensor& x, bool adapted) const {
  if (!adapted || !has_adapter()) return linear_map(x, weight_, bias_);
  const bool recorded = at::GradMode::is_enabled() || in_checkpoint();
  if (!recorded && is_folded()) return linear_map(x, folded_, bias_);
  const at::Tensor rows = x.flatten(0, -2);
  const int64_t in = weight_.size(1), out = weight_.size(0);
  // Where nothing is differentiated and there are rows enough, W + scale B A is cheaper than two thin products and the
  // sum. Not in half precision, where folding takes a rounding of its own.
  if (!recorded && x.is_cpu() && x.scalar_type() == at::kFloat && rows.size(0) * (in + out) > in * out) {
    return linear_map(x, folded(weight_, lora_A_, lora_B_, scale_), bias_);
  }
  const at::Tensor y = linear_map(rows, weight_, bias_);
  add_update(y, rows);
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = out;
  return y.view(sizes);
}

// In place: nothing else has y, and no gradient asks for it.
void Linear::add_update(const at::Tensor& y, const at::Tensor& x) const {
  const at::Tensor rows = x.flatten(0, -2);
  y.view({-1, y.size(-1)})
      .addmm_(linear_map(rows, lora_A_.to(x.scalar_type())), lora_B_.to(x.scalar_type()).t(), 1, scale_);
}

namespace {

// The first number in a name is that of a block, whose layers are alike: "transformer_blocks.N.attn.to_out.0".
std::string pattern_of(const std::string& name) {
  size_t start = 0;
  for (size_t end = name.find('.'); end != std::string::npos; start = end + 1, end = name.find('.', start)) {
    if (name.find_first_not_of("0123456789", start) == end && end > start) {
      return name.substr(0, start) + "N" + name.substr(end);
    }
  }
  return name;
}

// A line for each pattern, in the network's order.
std::string patterns_of(const std::vector<Linear*>& layers) {
  std::set<std::string> known;
  std::string lines;
  for (const Linear* layer : layers) {
    const std::string pattern = pattern_of(layer->name());
    if (known.insert(pattern).second) lines += "\n  " + pattern;
  }
  return lines;
}

}  // namespace

std::vector<std::string> names_of(const std::vector<Linear*>& layers) {
  std::vector<std::string> names;
  names.reserve(layers.size());
  for (const Linear* layer : layers) names.push_back(layer->name());
  return names;
}

void adapt(const std::vector<Linear*>& layers, Parameters& adapters, const LoraConfig& config) {
  if (config.targets.empty()) throw bad_value("adapter.targets", "at least one layer to train", "none");

  for (const std::string& target : config.targets) {
    bool found = false;
    for (const Linear* layer : layers) found = found || ends_in(layer->name(), target);
    if (found) continue;
    throw bad_value("adapter.targets", "ends of layers' names",
                    words(in_quotes(target), "; the layers are, for block N:", patterns_of(layers)));
  }
  for (Linear* layer : layers) {
    for (const std::string& target : config.targets) {
      if (!ends_in(layer->name(), target)) continue;
      layer->adapt(adapters, config.rank, config.alpha);
      break;
    }
  }
}

at::Tensor merged(const at::Tensor& weight, const at::Tensor& lora_A, const at::Tensor& lora_B, double scale) {
  if (weight.dim() != 2 || lora_A.dim() != 2 || lora_B.dim() != 2 || lora_A.size(1) != weight.size(1) ||
      lora_B.size(0) != weight.size(0) || lora_A.size(0) != lora_B.size(1)) {
    throw bad_shape("weight, lora_A and lora_B", "[out, in], [rank, in] and [out, rank]",
                    words(weight.sizes(), ", ", lora_A.sizes(), " and ", lora_B.sizes()));
  }
  return at::addmm(weight.to(at::kDouble), lora_B.to(at::kDouble), lora_A.to(at::kDouble), 1, scale)
      .to(weight.scalar_type());
}

}  // namespace eam::nn
