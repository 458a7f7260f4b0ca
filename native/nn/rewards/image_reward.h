#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "nn/rewards/image_preprocess.h"

namespace eam::nn {

// Rows x / ‖x‖.
at::Tensor unit_length(const at::Tensor& x);

// A published reward of images [B, 3, H, W] in [0, 1], not clamped, of any size, and mostly of their prompts.
class ImageReward {
 public:
  explicit ImageReward(ImagePreprocess preprocess) : preprocess_(std::move(preprocess)) {}
  virtual ~ImageReward() = default;

  struct Wanted {
    bool grad = false, features = false;
  };
  struct Score {
    std::vector<float> values;  // [B]
    at::Tensor grad;            // ∂(Σ values)/∂images where wanted, of the images' dtype
    at::Tensor features;        // as of features(), where wanted, from the same pass through the image tower
  };
  // ids, mask: token ids [B, L] and which of them count, where the reward reads them, else undefined. slice: images
  // that are scored at a time, which bounds the memory and changes nothing else; 0: all. Error(shape) for what does not
  // fit.
  Score score(const at::Tensor& images, const at::Tensor& ids, const at::Tensor& mask, Wanted wanted,
              int64_t slice) const;

  // What the image tower sees: [B, 3, size, size].
  at::Tensor preprocess(const at::Tensor& images) const;

  // The image tower's feature, of unit length, [B, F]. slice: as of score().
  at::Tensor features(const at::Tensor& images, int64_t slice) const;

 protected:
  // What a reward reads beside the images.
  struct Inputs {
    bool ids, mask;
  };
  virtual Inputs inputs() const = 0;

  // What the image tower makes of preprocessed pixels [b, 3, size, size], whatever the reward reads of it; recorded by
  // autograd.
  virtual at::Tensor encode(const at::Tensor& pixels) const = 0;

  // Values [b] of encoded images, in at least single precision; recorded by autograd.
  virtual at::Tensor values(const at::Tensor& encoded, const at::Tensor& ids, const at::Tensor& mask) const = 0;

  // The feature [b, F] in encoded images, of any length.
  virtual at::Tensor feature(const at::Tensor& encoded) const = 0;

  // The dtype of preprocessing and the head: that of the towers, single precision at least.
  virtual at::ScalarType precision() const = 0;
  virtual at::Device device() const = 0;

 private:
  at::Tensor pixels_of(const at::Tensor& images) const;
  at::Tensor unit_features(const at::Tensor& encoded) const;
  void check_images(const at::Tensor& images) const;
  void check_inputs(const at::Tensor& images, const at::Tensor& ids, const at::Tensor& mask) const;

  const ImagePreprocess preprocess_;
};

}  // namespace eam::nn
