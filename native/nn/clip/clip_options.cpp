#include "nn/clip/clip_options.h"

namespace eam::nn {

const Choices& choices_of(ClipActivation) {
  static const Choices choices = {"", "", {"gelu", "quick_gelu"}};
  return choices;
}

const OptionTable& ClipTowerConfig::table() {
  static const OptionTable table =
      Describe<ClipTowerConfig>("ClipTowerConfig",
                                "These are the sizes of one of CLIP's two towers (arXiv 2103.00020).")
          .required<&ClipTowerConfig::width>("width", at_least(1),
                                             "A token or patch has this many numbers; a multiple of heads.")
          .required<&ClipTowerConfig::intermediate>("intermediate", at_least(1),
                                                    "The feed-forward layers have this many numbers inside.")
          .required<&ClipTowerConfig::layers>("layers", at_least(1), "The tower has this many layers.")
          .required<&ClipTowerConfig::heads>("heads", at_least(1), "Attention has this many heads.")
          .required<&ClipTowerConfig::activation>(
              "activation",
              "The feed-forward layers' activation is x Φ(x) with `'gelu'`, x sigmoid(1.702 x) with `'quick_gelu'`.")
          .required<&ClipTowerConfig::layer_norm_epsilon>("layerNormEpsilon", above(0),
                                                          "Normalisation adds this to the variance.")
          .required<&ClipTowerConfig::projection>("projection", at_least(1),
                                                  "The feature that both towers project to has this many numbers.");
  return table;
}

const OptionTable& ClipTextConfig::table() {
  static const OptionTable table =
      Describe<ClipTextConfig>("ClipTextConfig", "These are the sizes of CLIP's text encoder.")
          .includes<ClipTowerConfig>()
          .required<&ClipTextConfig::vocabulary>("vocabulary", at_least(1), "Token ids are below this.")
          .required<&ClipTextConfig::positions>("positions", at_least(1), "The longest text has this many tokens.")
          .option<&ClipTextConfig::eos_token>("eosToken", at_least(0),
                                              "The state at this token is the text's feature; left out, that at the "
                                              "largest id, as the first CLIP has it.");
  return table;
}

const OptionTable& ClipVisionConfig::table() {
  static const OptionTable table =
      Describe<ClipVisionConfig>("ClipVisionConfig", "These are the sizes of CLIP's image encoder.")
          .includes<ClipTowerConfig>()
          .required<&ClipVisionConfig::image_size>(
              "imageSize", at_least(1), "Images are square, with this many pixels a side; a multiple of patchSize.")
          .required<&ClipVisionConfig::patch_size>("patchSize", at_least(1),
                                                   "A patch is a square of pixels with this side.");
  return table;
}

}  // namespace eam::nn
