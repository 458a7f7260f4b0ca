#include "nn/t5/t5_options.h"

namespace eam::nn {

const Choices& choices_of(T5FeedForward) {
  static const Choices choices = {"", "", {"gated-gelu", "relu"}};
  return choices;
}

const OptionTable& T5EncoderConfig::table() {
  static const OptionTable table =
      Describe<T5EncoderConfig>("T5EncoderConfig", "These are the sizes of T5's encoder (arXiv 1910.10683).")
          .required<&T5EncoderConfig::vocabulary>("vocabulary", at_least(1), "Token ids are below this.")
          .required<&T5EncoderConfig::width>("width", at_least(1), "A token has this many numbers.")
          .required<&T5EncoderConfig::key_width>("keyWidth", at_least(1),
                                                 "A head has this many numbers; heads · keyWidth need not be width.")
          .required<&T5EncoderConfig::intermediate>("intermediate", at_least(1),
                                                    "The feed-forward layers have this many numbers inside.")
          .required<&T5EncoderConfig::layers>("layers", at_least(1), "The encoder has this many blocks.")
          .required<&T5EncoderConfig::heads>("heads", at_least(1), "Attention has this many heads.")
          .required<&T5EncoderConfig::relative_buckets>(
              "relativeBuckets", at_least(1), "Distances between tokens fall into this many buckets; a multiple of 4.")
          .required<&T5EncoderConfig::relative_max_distance>(
              "relativeMaxDistance",
              "All that is further away than this many tokens shares a bucket; above a quarter of relativeBuckets.")
          .required<&T5EncoderConfig::layer_norm_epsilon>("layerNormEpsilon", above(0),
                                                          "Normalisation adds this to the mean square.")
          .required<&T5EncoderConfig::feed_forward>(
              "feedForward", "The feed-forward layers are those of T5 v1.1 with `'gated-gelu'`, of T5 with `'relu'`.")
          .option<&T5EncoderConfig::sliced>(
              "sliced",
              "True leaves the blocks' weights where their files are mapped, and has one block at a time on the device "
              "and in the network's type.");
  return table;
}

}  // namespace eam::nn
