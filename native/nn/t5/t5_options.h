#pragma once

#include <cstdint>

#include "ops/options.h"

namespace eam::nn {

enum class T5FeedForward {
  gated_gelu,  // T5 v1.1: wo(gelu(wi_0 x) ⊙ wi_1 x), gelu by its tanh approximation
  relu,        // T5: wo(relu(wi x))
};
const Choices& choices_of(T5FeedForward);

struct T5EncoderConfig {
  int64_t vocabulary = 0;
  int64_t width = 0;
  int64_t key_width = 0;  // of a head; heads · key_width need not be width
  int64_t intermediate = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t relative_buckets = 32;
  int64_t relative_max_distance = 128;  // tokens; all that is further away shares a bucket
  double layer_norm_epsilon = 1e-6;
  T5FeedForward feed_forward = T5FeedForward::gated_gelu;
  bool sliced = false;

  static const OptionTable& table();
};

}  // namespace eam::nn
