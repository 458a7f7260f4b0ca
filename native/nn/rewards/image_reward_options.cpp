#include "nn/rewards/image_reward_options.h"

namespace eam::nn {

const Choices& choices_of(ImagePreprocessConfig::Fit) {
  static const Choices choices = {"", "", {"crop", "pad"}};
  return choices;
}

const Choices& choices_of(ClipRewardConfig::Kind) {
  static const Choices choices = {"", "", {"scaled-cosine", "cosine", "linear-stack"}};
  return choices;
}

const Choices& choices_of(ClipRewardConfig::Layout) {
  static const Choices choices = {"", "", {"transformers", "open_clip"}};
  return choices;
}

const OptionTable& ImagePreprocessConfig::table() {
  static const OptionTable table =
      Describe<ImagePreprocessConfig>("ImagePreprocessConfig", "This is how an image becomes a tower's square input.")
          .required<&ImagePreprocessConfig::fit>("fit",
                                                 "`'crop'` brings the short side to size and keeps the middle, `'pad'` "
                                                 "the long side and puts black around it.")
          .required<&ImagePreprocessConfig::size>("size", at_least(1), "The input has this many pixels a side.")
          .required<&ImagePreprocessConfig::mean>("mean", "Each channel is shifted by its mean, of three.")
          .required<&ImagePreprocessConfig::std>("std", above(0),
                                                 "Each channel is divided by its standard deviation, of three.")
          .required<&ImagePreprocessConfig::bytes>("bytes",
                                                   "True rounds and clamps to bytes before and after each of the "
                                                   "resize's two passes, as PIL does. No gradient goes through that.");
  return table;
}

const OptionTable& ClipRewardConfig::table() {
  static const OptionTable table =
      Describe<ClipRewardConfig>("ClipRewardConfig", "This is a reward that compares CLIP's features or scores them.")
          .required<&ClipRewardConfig::vision>("vision", "The image encoder has these sizes.")
          .option<&ClipRewardConfig::text>("text", "The text encoder has these sizes; a linear stack needs none.")
          .required<&ClipRewardConfig::preprocess>("preprocess", "The image encoder is given images in this form.")
          .required<&ClipRewardConfig::kind>(
              "kind",
              "The score is exp(logit scale) · cosine with `'scaled-cosine'`, the cosine with `'cosine'`, and with "
              "`'linear-stack'` what linear layers, head.layers.N, make of the image's feature.")
          .required<&ClipRewardConfig::layout>("layout", "The tensors have the names that these libraries give them.");
  return table;
}

const OptionTable& BlipRewardConfig::table() {
  static const OptionTable table =
      Describe<BlipRewardConfig>(
          "BlipRewardConfig",
          "This is a BERT that attends to BLIP's image features, and a head on its first state; (head − mean) / std.")
          .required<&BlipRewardConfig::vision>("vision", "The image encoder has these sizes.")
          .required<&BlipRewardConfig::text>("text", "The text encoder has these sizes.")
          .required<&BlipRewardConfig::preprocess>("preprocess", "The image encoder is given images in this form.")
          .required<&BlipRewardConfig::mean>("mean",
                                             "The head's values have this mean over the data that it was trained on.")
          .required<&BlipRewardConfig::std>("std", above(0), "They have this standard deviation.");
  return table;
}

}  // namespace eam::nn
