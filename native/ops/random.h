#pragma once

#include <cstdint>

namespace eam {

// What a stream of random numbers is for. The value is part of the stream number, so it never changes meaning.
enum class Purpose : uint8_t {
  initial_noise = 0,   // x_0 of an ODE or SDE rollout
  renoise = 1,         // ε of x_t
  time = 2,            // t of a training sample
  sde = 3,             // Brownian increments of a stochastic rollout
  initialisation = 4,  // weights before training
  dropout = 5,         // conditioning dropped for guidance
  subset = 6,          // which steps of a rollout enter the loss
  data = 7,            // order and augmentation of a data set
  ratio_time = 8,      // t of an estimate of log p_θ/p_pre
  ratio_noise = 9,     // its ε
  endpoint = 10,       // which of the endpoints that were kept
  depth = 11,          // where in a rollout the gradient begins
  fold = 12,           // which way a weight is rounded that an adapter is folded into
};

// Streams are derived from (step, sample, purpose), so that a run's random numbers do not depend on how a batch is
// split or on the number of threads. step < 2^32, sample < kMaxSamples (counted over the whole batch, micro-batches
// included).
constexpr int64_t kMaxSamples = int64_t{1} << 24;
constexpr uint64_t stream_of(uint64_t step, uint64_t sample, Purpose purpose) {
  return (step << 32) | (sample << 8) | static_cast<uint64_t>(purpose);
}

}  // namespace eam
