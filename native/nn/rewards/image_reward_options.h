#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/blip/blip_options.h"
#include "nn/clip/clip_options.h"
#include "ops/options.h"

namespace eam::nn {

struct ImagePreprocessConfig {
  enum class Fit {
    crop,  // the short side to `size`, then the middle
    pad    // the long side to `size`, then black around the middle, before normalisation
  };
  // Where the middle begins when what is cut off has an odd length: rounded down (transformers) or to the even
  // neighbour (torchvision). A reward's own choice.
  enum class Middle { down, even };

  Fit fit = Fit::crop;
  int64_t size = 0;
  std::vector<double> mean, std;  // a channel
  bool bytes = false;             // rounds and clamps to bytes before and after each of the resize's two passes, as PIL
  Middle middle = Middle::down;

  static const OptionTable& table();
};
const Choices& choices_of(ImagePreprocessConfig::Fit);

struct ClipRewardConfig {
  enum class Kind {
    scaled_cosine,  // exp(logit scale) · cosine of image and text: PickScore (arXiv 2305.01569)
    cosine,         // CLIPScore (arXiv 2104.08718, w = 1 and not clipped), HPSv2.1 (arXiv 2306.09341)
    linear_stack,   // linear layers on the image's feature of unit length: LAION's aesthetic predictor
  };
  enum class Layout { transformers, open_clip };

  ClipVisionConfig vision;
  std::optional<ClipTextConfig> text;  // which a linear stack does not need
  ImagePreprocessConfig preprocess;
  Kind kind = Kind::cosine;
  Layout layout = Layout::transformers;  // whose names the tensors have

  static const OptionTable& table();
};
const Choices& choices_of(ClipRewardConfig::Kind);
const Choices& choices_of(ClipRewardConfig::Layout);

struct BlipRewardConfig {
  BlipVisionConfig vision;
  BertConfig text;
  ImagePreprocessConfig preprocess;
  double mean = 0, std = 1;  // of the head's values over the data it was trained on

  static const OptionTable& table();
};

}  // namespace eam::nn
