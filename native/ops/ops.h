#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/schedule.h"
#include "ops/error.h"
#include "ops/kernel_options.h"

// The formulas of docs/mathematics.md on tensors: shapes, dtypes and devices are checked here (Error with
// ErrorKind::shape or ::config, the message names the argument), then dispatched to native/kernels.
// Tensors are [B, …], B ≥ 1, of floating dtype, contiguous or made so; t has one entry a sample. Nothing here is
// recorded by autograd: a loss comes with its gradient, which velocity.backward(grad) passes on.
//
// `out` (a loss's `grad`), where it is defined, is written to and returned instead of a new tensor: of the result's
// shape, dtype and device, contiguous, either apart from every input or exactly one of them.
namespace eam::ops {

// The schedule at t in [0, 1] for base variance 2C − 1, C > ½ (at t = 0 the drift and σ² are infinite).
using kernels::Coefficients;
Coefficients coefficients(double t, double C);

// Philox4x32-10 itself: counter and key in, four words out.
std::array<uint32_t, 4> philox_words(const std::array<uint32_t, 4>& counter, const std::array<uint32_t, 2>& key);

// Philox normals (kernels/philox.h). One stream: the tensor's elements in memory order. B streams: each sample its own,
// elements counted from the sample's start.
struct PhiloxNoise {
  uint64_t seed = 0;
  std::vector<uint64_t> streams;
};

// Either a tensor of the sample's shape or a generator that kernels evaluate in registers.
struct Noise {
  std::optional<at::Tensor> tensor;
  PhiloxNoise philox;
};

at::Tensor philox_normal(at::IntArrayRef shape, const PhiloxNoise& noise, at::ScalarType dtype, at::Device device,
                         const at::Tensor& out = {});

// One uniform in (0, 1) a stream: the first word of block 0.
std::vector<double> philox_uniform(const PhiloxNoise& noise);

// coefficients: one for all samples or one a sample. At most eight terms a call, a noise tensor counted as one.
struct Term {
  at::Tensor tensor;
  std::vector<double> coefficients;
};

// out[b, i] = Σ_k c_k[b] x_k[b, i]  (+ c_ε[b] ε[b, i]), one pass over memory. The result has the dtype of the first
// term, accumulated in float32 (float64 for float64). Without noise it is recorded by autograd where a term is.
at::Tensor affine(const std::vector<Term>& terms, const Noise* noise = nullptr,
                  const std::vector<double>& noise_coefficients = {});

// x_t of the forward process. terminal_time 1 (x1 is data): t x1 + (1−t) ε. t* < 1 (x1 is Y at t*):
// (t/t*) Y + sqrt((1−t)² − (t/t*)² (1−t*)²) ε, for t ≤ t*.
at::Tensor renoise(const at::Tensor& x1, const std::vector<double>& t, const Noise& noise, double terminal_time = 1,
                   const at::Tensor& out = {});

// G = λ reward_grad + (time·velocity − x)/(1 − time), the score from the velocity at `time` in [0, 1). Dtype of x.
at::Tensor terminal_gradient(const at::Tensor& x, const at::Tensor& velocity, const at::Tensor& reward_grad,
                             double lambda, double time, const at::Tensor& out = {});

struct Loss {
  double loss;                    // mean over samples of per_sample
  std::vector<float> per_sample;  // w mean_i (v − v̂)²
  // ∂loss/∂velocity = 2 w (v − v̂)/(N B), dtype of velocity. With N B beyond 10⁵ it leaves float16's normal range;
  // bfloat16 and float32 keep it.
  at::Tensor grad;
};

// The fused EAM loss: v̂ is rebuilt in registers from x1 (Y where terminal_time < 1), G and the noise that x_t was
// made with. t in [0, terminal_time].
Loss matching_loss(const at::Tensor& velocity, const at::Tensor& x1, const at::Tensor& terminal_gradient,
                   const std::vector<double>& t, const Noise& noise, const Matching& matching,
                   const at::Tensor& grad = {});

// The EAM loss from x_t as renoise made it: on a CPU, reading it again costs less than drawing the noise again.
Loss matching_loss(const at::Tensor& velocity, const at::Tensor& x, const at::Tensor& x1,
                   const at::Tensor& terminal_gradient, const std::vector<double>& t, const Matching& matching,
                   const at::Tensor& grad = {});

// Flow matching through the same kernel: v̂ = x1 − ε.
Loss flow_matching_loss(const at::Tensor& velocity, const at::Tensor& x1, const Noise& noise,
                        const at::Tensor& grad = {});

// The general form behind both: v̂ = Σ_k c_k[b] x_k + c_ε[b] ε, weight w[b].
Loss regress_velocity(const at::Tensor& velocity, const std::vector<Term>& target, const Noise* noise,
                      const std::vector<double>& noise_coefficients, const std::vector<double>& weights);

// The mode-aware EAM loss: the target of matching_loss plus (b²/Q) s (u − v_θ), u the conditional velocity of
// (x_t, Y); factors: s, one a sample. velocity stands for v_θ on both sides, its gradient taken on the
// left alone. terminal_time below 1.
Loss mode_matching_loss(const at::Tensor& velocity, const at::Tensor& x1, const at::Tensor& terminal_gradient,
                        const std::vector<double>& t, const Noise& noise, const Matching& matching,
                        const std::vector<double>& factors);

// The loss is that of a reward without a gradient: its target is v_θ + w (1 + s)(u − v_θ), w = b²/(1−t)², u and the
// factors s as above.
Loss value_matching_loss(const at::Tensor& velocity, const at::Tensor& x1, const std::vector<double>& t,
                         const Noise& noise, const Matching& matching, const std::vector<double>& factors);

// (t/(1−t)) (‖v_pre − u‖² − ‖v_θ − u‖²) of each sample, sums over its elements in float64: integrated over t and
// averaged over ε it is log p_θ(Y)/p_pre(Y) at the terminal time. t below it.
std::vector<double> log_ratio_terms(const at::Tensor& velocity, const at::Tensor& pretrained, const at::Tensor& x1,
                                    const std::vector<double>& t, const Noise& noise, double terminal_time);

// Adjoint Matching's memoryless Euler–Maruyama step (arXiv 2409.08861): x + h(2v − x/(t+h)) + √h σ ε,
// σ² = 2(1−t+h)/(t+h).
at::Tensor memoryless_step(const at::Tensor& x, const at::Tensor& velocity, double t, double h, const Noise& noise,
                           const at::Tensor& out = {});

// a + h(2 vjp − a/(t+h)), vjp = aᵀ ∂v_pre/∂x at (x_t, t).
at::Tensor lean_adjoint_step(const at::Tensor& adjoint, const at::Tensor& vjp, double t, double h,
                             const at::Tensor& out = {});

// Multi-tensor updates over contiguous float32 parameters, one pass each.
double global_norm(const std::vector<at::Tensor>& gradients);  // fixed reduction order; may be non-finite

struct AdamW {
  double learning_rate, beta1, beta2, epsilon, weight_decay;
  int64_t step;       // 1 for the first update
  double grad_scale;  // what gradients are multiplied by first (clipping)
};
void adamw(const std::vector<at::Tensor>& parameters, const std::vector<at::Tensor>& gradients,
           const std::vector<at::Tensor>& first_moments, const std::vector<at::Tensor>& second_moments,
           const AdamW& options);

// ema ← decay ema + (1 − decay) parameter
void ema(const std::vector<at::Tensor>& averages, const std::vector<at::Tensor>& parameters, double decay);

}  // namespace eam::ops
