#pragma once

#include <cmath>

#include "kernels/macros.h"

// The closed forms of rectified flow, X_t = t X_1 + (1−t) ε, and of Efficient Adjoint Matching (arXiv 2605.11480)
// on it. Time runs from 0 (noise) to 1 (data). The base process has variance κ = 2C − 1 at time 1.
namespace eam::kernels {

struct Coefficients {
  double kappa;          // variance of the base at time 1
  double Q;              // variance of the base at time t: 2Ct² − 2t + 1 = t²κ + (1−t)²
  double base_drift;     // D: the memoryless base is dX = D X dt + σ dW; −∞ at t = 0
  double sigma2;         // memoryless noise, 2(1−t)/t; +∞ at t = 0
  double base_velocity;  // of the base, per x
  double adjoint_scale;  // a_t / a_1
  double target_x;       // v̂ = target_x x_t + target_x1 X_1 + target_G G
  double target_x1;
  double target_G;
};

EAM_HD Coefficients coefficients(double t, double C) {
  Coefficients c;
  c.kappa = 2 * C - 1;
  c.Q = t * t * c.kappa + (1 - t) * (1 - t);
  c.base_drift = (2 * C * t * t - 1) / (t * c.Q);
  c.sigma2 = 2 * (1 - t) / t;
  c.base_velocity = (2 * C * t - 1) / c.Q;
  c.adjoint_scale = c.kappa * t / c.Q;
  c.target_x = c.base_velocity;
  c.target_x1 = (1 - t) / c.Q;
  c.target_G = c.target_x1 * c.kappa;
  return c;
}

// x_t = endpoint·Y + noise·ε, where Y is the process at terminal_time (X_1 at 1). The variance
// (1−t)² − (t/t*)²(1−t*)² is factored, so that it is exactly 0 at t = t* and keeps its digits near it.
struct ForwardCoefficients {
  double endpoint;
  double noise;
};

EAM_HD ForwardCoefficients forward_coefficients(double t, double terminal_time) {
  double s = terminal_time;
  return {t / s, sqrt((s - t) * ((1 - s) * t + s * (1 - t))) / s};
}

// The EAM target v̂ = x·x_t + endpoint·Y + gradient·G, finite at both ends: x = 1/t − (1−t)/(tQ) = (2Ct−1)/Q. With
// κ* = t*²κ + δ², δ = 1 − t*, G acts with (1−t)κ*/(t*Q).
struct TargetCoefficients {
  double x;
  double endpoint;
  double gradient;
};

EAM_HD TargetCoefficients target_coefficients(double t, double C, double terminal_time) {
  Coefficients c = coefficients(t, C);
  double s = terminal_time;
  double kappa_at_terminal = s * s * c.kappa + (1 - s) * (1 - s);
  return {c.target_x, c.target_x1 / s, c.target_x1 * kappa_at_terminal / s};
}

// The target after x_t has been put in: v̂ = endpoint·Y + gradient·G + noise·ε. The endpoint's coefficient is
// t/t* (2Ct−1)/Q + (1−t)/(t*Q) = 1/t*.
struct NoiseTargetCoefficients {
  double endpoint;
  double gradient;
  double noise;
};

EAM_HD NoiseTargetCoefficients noise_target_coefficients(double t, double C, double terminal_time) {
  TargetCoefficients c = target_coefficients(t, C, terminal_time);
  return {1 / terminal_time, c.gradient, c.x * forward_coefficients(t, terminal_time).noise};
}

// The conditional velocity u = E[Ẋ_t | x_t, Y] of the noising chain that ends in Y at terminal_time: with x_t = aY +
// bε, u = Y/t* − ε e/b, e = (1−t) + tδ²/t*². At t = t*, where b is 0, it does not exist.
EAM_HD double conditional_noise(double t, double terminal_time) {
  double s = terminal_time, delta = 1 - s;
  return (1 - t) + t * delta * delta / (s * s);
}

struct ConditionalVelocityCoefficients {
  double endpoint;
  double noise;
};

EAM_HD ConditionalVelocityCoefficients conditional_velocity_coefficients(double t, double terminal_time) {
  return {1 / terminal_time, -conditional_noise(t, terminal_time) / forward_coefficients(t, terminal_time).noise};
}

// The mode-aware target v̂ + (b²/Q) s (u − v_θ), v̂ of EAM and u as above: endpoint·Y + gradient·G + noise·ε +
// velocity·v_θ. s(u − v_θ) has b²/Q in front, the share of the flow-matching target in v̂, which also cancels u's 1/b.
struct ModeTargetCoefficients {
  double endpoint;
  double gradient;
  double noise;
  double velocity;
};

EAM_HD ModeTargetCoefficients mode_target_coefficients(double t, double C, double terminal_time, double s) {
  NoiseTargetCoefficients c = noise_target_coefficients(t, C, terminal_time);
  double b = forward_coefficients(t, terminal_time).noise, Q = coefficients(t, C).Q, share = s * b * b / Q;
  return {c.endpoint + share / terminal_time, c.gradient, c.noise - s * b * conditional_noise(t, terminal_time) / Q,
          -share};
}

// The target of a reward without a gradient, v_θ + w (1 + s)(u − v_θ): endpoint·Y + noise·ε + velocity·v_θ. 1 + s is
// the sample's weight; w = b²/(1−t)², 1 but for the last times, where it cancels u's 1/b.
struct ValueTargetCoefficients {
  double endpoint;
  double noise;
  double velocity;
};

EAM_HD ValueTargetCoefficients value_target_coefficients(double t, double terminal_time, double s) {
  double b = forward_coefficients(t, terminal_time).noise, scale = (1 + s) * b / ((1 - t) * (1 - t));
  return {scale * b / terminal_time, -scale * conditional_noise(t, terminal_time), 1 - scale * b};
}

// dℓ/dt of the log ratio ℓ(Y) = log p_θ/p_pre at t*: (t/(1−t)) E_ε[‖v_pre − u‖² − ‖v_θ − u‖²], the same for every δ.
EAM_HD double log_ratio_weight(double t) {
  return t / (1 - t);
}

// min(2t/(1−t), cap): turns the velocity loss into Adjoint Matching's, 2/η ‖v − v̂‖².
EAM_HD double adjoint_matching_weight(double t, double cap) {
  return 2 * t < cap * (1 - t) ? 2 * t / (1 - t) : cap;
}

// ∂x̂_1/∂Y of latents N(0, κ_d I), Y = t* X_1 + δ ε: t*κ_d/(t*²κ_d + δ²). Where the pretrained denoiser's own Jacobian
// is not computed, this one stands for it.
EAM_HD double base_jacobian(double terminal_time, double variance) {
  double s = terminal_time, delta = 1 - s;
  return s * variance / (s * s * variance + delta * delta);
}

// G = reward·∇r + velocity·v + x·x: the score at `time` from the velocity, (time v − x)/(1 − time), plus λ∇r.
struct TerminalGradientCoefficients {
  double x;
  double velocity;
};

EAM_HD TerminalGradientCoefficients score_coefficients(double time) {
  return {-1 / (1 - time), time / (1 - time)};
}

// Adjoint Matching's memoryless Euler–Maruyama step (arXiv 2409.08861):
// x + h(2v − x/(t+h)) + √h σ ε, σ² = 2(1−t+h)/(t+h).
struct MemorylessStepCoefficients {
  double x;
  double velocity;
  double noise;
};

EAM_HD MemorylessStepCoefficients memoryless_step_coefficients(double t, double h) {
  return {t / (t + h), 2 * h, sqrt(2 * h * (1 - t + h) / (t + h))};
}

// Its lean adjoint: a + h(2 vjp − a/(t+h)).
struct LeanAdjointStepCoefficients {
  double adjoint;
  double vjp;
};

EAM_HD LeanAdjointStepCoefficients lean_adjoint_step_coefficients(double t, double h) {
  return {t / (t + h), 2 * h};
}

}  // namespace eam::kernels
