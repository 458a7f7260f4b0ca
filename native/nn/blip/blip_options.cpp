#include "nn/blip/blip_options.h"

namespace eam::nn {

const OptionTable& BlipVisionConfig::table() {
  static const OptionTable table =
      Describe<BlipVisionConfig>("BlipVisionConfig", "These are the sizes of BLIP's image encoder (arXiv 2201.12086).")
          .required<&BlipVisionConfig::image_size>(
              "imageSize", at_least(1), "Images are square, with this many pixels a side; a multiple of patchSize.")
          .required<&BlipVisionConfig::patch_size>("patchSize", at_least(1),
                                                   "A patch is a square of pixels with this side.")
          .required<&BlipVisionConfig::width>("width", at_least(1),
                                              "A patch has this many numbers; a multiple of heads.")
          .required<&BlipVisionConfig::intermediate>("intermediate", at_least(1),
                                                     "The feed-forward layers have this many numbers inside.")
          .required<&BlipVisionConfig::layers>("layers", at_least(1), "The encoder has this many blocks.")
          .required<&BlipVisionConfig::heads>("heads", at_least(1), "Attention has this many heads.")
          .required<&BlipVisionConfig::layer_norm_epsilon>("layerNormEpsilon", above(0),
                                                           "Normalisation adds this to the variance.");
  return table;
}

const OptionTable& BertConfig::table() {
  static const OptionTable table =
      Describe<BertConfig>(
          "BertConfig",
          "These are the sizes of BLIP's text encoder, a BERT (arXiv 1810.04805) that attends to an image.")
          .required<&BertConfig::vocabulary>("vocabulary", at_least(1), "Token ids are below this.")
          .required<&BertConfig::width>("width", at_least(1), "A token has this many numbers; a multiple of heads.")
          .required<&BertConfig::intermediate>("intermediate", at_least(1),
                                               "The feed-forward layers have this many numbers inside.")
          .required<&BertConfig::layers>("layers", at_least(1), "The encoder has this many layers.")
          .required<&BertConfig::heads>("heads", at_least(1), "Attention has this many heads.")
          .required<&BertConfig::positions>("positions", at_least(1), "The longest text has this many tokens.")
          .required<&BertConfig::layer_norm_epsilon>("layerNormEpsilon", above(0),
                                                     "Normalisation adds this to the variance.")
          .required<&BertConfig::encoder_width>(
              "encoderWidth", at_least(1), "The image features that its cross-attention reads have this many numbers.");
  return table;
}

}  // namespace eam::nn
