#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nn/layers/layer_norm.h"
#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

enum class ClipActivation {
  gelu,        // exact: x Φ(x)
  quick_gelu,  // x sigmoid(1.702 x), OpenAI's own models
};

// What CLIP's two towers (arXiv 2103.00020) have in common.
struct ClipTowerConfig {
  int64_t width = 0;
  int64_t intermediate = 0;  // width inside a layer's feed-forward part
  int64_t layers = 0;
  int64_t heads = 0;
  ClipActivation activation = ClipActivation::gelu;
  double layer_norm_epsilon = 1e-5;
  int64_t projection = 0;  // width of the feature that both towers project to
};

// Error(config), naming the entry, for sizes that no tower can have.
void check_clip_tower(const ClipTowerConfig& config);

// The transformer layers of a tower, normalised before attention and before the feed-forward part:
// PREFIX.N.{layer_norm1, self_attn.{q,k,v,out}_proj, layer_norm2, mlp.fc1, mlp.fc2}.
class ClipTower {
 public:
  // causal: a token sees itself and those before it (text).
  ClipTower(StoredWeights& weights, const std::string& prefix, const ClipTowerConfig& config, bool causal);

  struct States {
    at::Tensor before_last;  // what the last layer was given
    at::Tensor last;
  };
  // x [B, L, width]
  States forward(const at::Tensor& x) const;

 private:
  struct Layer {
    LayerNorm norm1;
    Linear query, key, value, out;
    LayerNorm norm2;
    Linear fc1, fc2;
  };

  at::Tensor run(const Layer& layer, const at::Tensor& x) const;

  const int64_t heads_;
  const ClipActivation activation_;
  const bool causal_;
  std::vector<Layer> layers_;
};

}  // namespace eam::nn
