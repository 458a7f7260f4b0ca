#include "nn/digits/digits_options.h"

namespace eam::nn {

const OptionTable& DigitsModelConfig::table() {
  static const OptionTable table =
      Describe<DigitsModelConfig>(
          "DigitsModelConfig",
          "These are the sizes of a class-conditional diffusion transformer on pixels (DiT, arXiv 2212.09748).")
          .required<&DigitsModelConfig::image_size>(
              "imageSize", at_least(1), "Images are square, with this many pixels a side; a multiple of patchSize.")
          .required<&DigitsModelConfig::channels>("channels", at_least(1), "An image has this many channels.")
          .required<&DigitsModelConfig::patch_size>("patchSize", at_least(1),
                                                    "A token stands for a square of pixels with this side.")
          .required<&DigitsModelConfig::width>("width", at_least(1),
                                               "A token has this many numbers; a multiple of heads and of 4.")
          .required<&DigitsModelConfig::depth>("depth", at_least(1), "The network has this many blocks.")
          .required<&DigitsModelConfig::heads>("heads", at_least(1), "Attention has this many heads.")
          .required<&DigitsModelConfig::mlp_ratio>(
              "mlpRatio", above(0), "The feed-forward layers are this much wider inside than the tokens.")
          .required<&DigitsModelConfig::classes>("classes", at_least(1),
                                                 "Labels are 0 to classes − 1; label `classes` stands for none.")
          .option<&DigitsModelConfig::latent_variance>(
              "latentVariance", above(0),
              "This is the variance of the pixels of its images about their mean, black at −1 and white at 1.");
  return table;
}

const OptionTable& DigitClassifierConfig::table() {
  static const OptionTable table =
      Describe<DigitClassifierConfig>("DigitClassifierConfig",
                                      "These are the sizes of a small convolutional classifier of images.")
          .required<&DigitClassifierConfig::image_size>("imageSize", at_least(1),
                                                        "Images are square, with this many pixels a side.")
          .required<&DigitClassifierConfig::channels>("channels", at_least(1), "An image has this many channels.")
          .required<&DigitClassifierConfig::widths>(
              "widths", at_least(1), "The convolutions have these numbers of channels; each halves the image.")
          .required<&DigitClassifierConfig::features>("features", at_least(1),
                                                      "The layer before the last has this many numbers.")
          .required<&DigitClassifierConfig::classes>("classes", at_least(1), "Labels are 0 to classes − 1.");
  return table;
}

}  // namespace eam::nn
