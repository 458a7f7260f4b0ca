#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// What linear layers that read the same input compute together: one product instead of several, of weights [out₁ + … ,
// in] that stand one below the other. Only where no gradient is recorded; elsewhere each layer computes its own. The
// layers, which keep their names, weights and adapters, are handed to each call, always the same in the same order.
class JointLinear {
 public:
  using Layers = std::vector<Linear*>;

  // Moves frozen weights into one storage, of which the layers' weights, and those that were taken, become views.
  // Weights that loading did not copy, such as a file's memory map, stay where they are, and no product is joined:
  // nothing is in memory twice.
  void join(const Layers& layers, StoredWeights& weights);

  // Folds the adapters of the layers, all in one storage, where each of them has one; elsewhere does nothing.
  void fold(const Layers& layers);
  void unfold() { folded_.reset(); }

  // x [..., in] to a result [..., out] of each layer.
  std::vector<at::Tensor> forward(const std::vector<const Linear*>& layers, const at::Tensor& x, bool adapted) const;

 private:
  at::Tensor weight_, bias_;  // not defined where nothing was joined, or the layers have no bias
  at::Tensor folded_;         // defined while the adapters are folded
};

// The linear layers of a network, and those among them that read the same input.
class LinearLayers {
 public:
  void add(const JointLinear::Layers& layers) { all_.insert(all_.end(), layers.begin(), layers.end()); }
  // Layers that were added, or will be.
  void add_joint(JointLinear& joint, JointLinear::Layers layers) { joint_.push_back({&joint, std::move(layers)}); }

  const JointLinear::Layers& all() const { return all_; }

  // JointLinear::join of all that read the same input; of frozen weights.
  void join(StoredWeights& weights);

  // Folds every adapter; unfold() frees the copies.
  void fold();
  void unfold();

 private:
  struct Joint {
    JointLinear* linear;
    JointLinear::Layers layers;
  };
  JointLinear::Layers all_;
  std::vector<Joint> joint_;
};

}  // namespace eam::nn
