#include "nn/qwen3/qwen3_options.h"

namespace eam::nn {

const OptionTable& Qwen3EncoderConfig::table() {
  static const OptionTable table =
      Describe<Qwen3EncoderConfig>("Qwen3EncoderConfig",
                                   "These are the sizes of Qwen3 (arXiv 2505.09388) as an encoder of texts.")
          .required<&Qwen3EncoderConfig::vocabulary>("vocabulary", at_least(1), "Token ids are below this.")
          .required<&Qwen3EncoderConfig::width>("width", at_least(1), "A token has this many numbers.")
          .required<&Qwen3EncoderConfig::intermediate>("intermediate", at_least(1),
                                                       "The feed-forward layers have this many numbers inside.")
          .required<&Qwen3EncoderConfig::layers>("layers", at_least(1), "The network has this many blocks.")
          .required<&Qwen3EncoderConfig::heads>("heads", at_least(1),
                                                "Queries have this many heads; a multiple of keyValueHeads.")
          .required<&Qwen3EncoderConfig::key_value_heads>(
              "keyValueHeads", at_least(1), "Keys and values have this many heads, each for as many of the queries'.")
          .required<&Qwen3EncoderConfig::head_dim>(
              "headDim", at_least(1),
              "A head has this many numbers, a multiple of 2; heads · headDim need not be width.")
          .required<&Qwen3EncoderConfig::norm_epsilon>("normEpsilon", above(0),
                                                       "Normalisation adds this to the mean square.")
          .required<&Qwen3EncoderConfig::rope_theta>("ropeTheta", above(0),
                                                     "The slowest numbers of a head turn about this much slower.")
          .required<&Qwen3EncoderConfig::states>(
              "states", at_least(1),
              "What is read of a token is its states after so many layers, side by side; all below layers, whose last "
              "state is normalised.");
  return table;
}

}  // namespace eam::nn
