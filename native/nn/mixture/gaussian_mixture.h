#pragma once

#include <cstdint>
#include <vector>

#include "nn/layers/lora.h"
#include "nn/layers/parameters.h"
#include "nn/mixture/gaussian_mixture_options.h"
#include "ops/flow_model.h"

namespace eam::nn {

// A flow model whose pretrained velocity is the rectified flow's own, in closed form, for the data distribution
// Σ w_i N(μ_i, std² I): what an algorithm reaches can be compared with an exact answer. What is trained is a control
// network added to it, a multilayer perceptron of x and t that starts as zero.
//
// Latents are [B, d]; as images they are [B, d, 1, 1], not scaled. The distribution has no condition: the conditioning
// is one tensor with a row a sample and no columns, [B, 0] by convention, which only says how many samples there are.
class GaussianMixtureModel final : public FlowModel {
 public:
  // dtype (float32 or float64) is that of the closed form; the control network is float32, as every trained tensor.
  GaussianMixtureModel(const GaussianMixtureConfig& config, uint64_t seed, at::ScalarType dtype, at::Device device);

  at::Tensor velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override;

  // E[X_1 − ε | X_t = x] = ((1−t) m + (t std² − (1−t)) x) / s², s² = t² std² + (1−t)², where m = Σ r_i μ_i is the mean
  // of the modes by their responsibilities for x. Differentiable with respect to x.
  at::Tensor pretrained_velocity(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) override;

  at::Tensor images(const at::Tensor& latents) override;
  double latent_variance() const override { return latent_variance_; }
  NamedTensors trainable() override { return parameters_.named(); }
  NamedTensors weights() override { return {}; }  // a formula has none
  bool pretrained_is_frozen() const override { return true; }

 private:
  void check(const at::Tensor& x, const at::Tensor& t, const Conditioning& conditioning) const;
  at::Tensor control(const at::Tensor& x, const at::Tensor& t) const;

  const at::ScalarType dtype_;
  const at::Device device_;
  const double variance_;            // of each mode
  const double latent_variance_;     // of the mixture, mean over dimensions
  at::Tensor means_;                 // [modes, d]
  at::Tensor half_norms_;            // ½‖μ_i‖², [1, modes]
  at::Tensor log_weights_;           // [1, modes]
  at::Tensor frequencies_, phases_;  // of the time features, [1, features]
  Parameters parameters_;
  std::vector<Linear> layers_;
};

}  // namespace eam::nn
