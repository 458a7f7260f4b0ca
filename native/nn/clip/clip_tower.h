#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "nn/clip/clip_options.h"
#include "nn/layers/layer_norm.h"
#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

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
