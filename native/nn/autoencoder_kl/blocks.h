#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"

// What the two halves of a KL autoencoder are built of, under the names of the published files. x is [B, C, H, W].
namespace eam::nn {

class Conv2d {
 public:
  // padding: zeros on all four sides.
  Conv2d(StoredWeights& weights, const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride = 1,
         int64_t padding = 0);
  at::Tensor forward(const at::Tensor& x) const;
  void allow_tf32() { tf32_ = true; }
  at::ScalarType dtype() const { return weight_.scalar_type(); }
  at::Device device() const { return weight_.device(); }

 private:
  at::Tensor weight_, bias_;
  int64_t stride_, padding_;
  bool tf32_ = false;  // see convolution.h
};

class GroupNorm {
 public:
  GroupNorm(StoredWeights& weights, const std::string& name, int64_t channels, int64_t groups);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  at::Tensor weight_, bias_;
  int64_t groups_;
};

// Two convolutions, each after normalisation and SiLU, beside a shortcut.
class ResnetBlock {
 public:
  ResnetBlock(StoredWeights& weights, const std::string& name, int64_t in, int64_t out, int64_t groups);
  at::Tensor forward(const at::Tensor& x) const;
  void allow_tf32();

 private:
  GroupNorm norm1_;
  Conv2d conv1_;
  GroupNorm norm2_;
  Conv2d conv2_;
  std::optional<Conv2d> shortcut_;  // where the number of channels changes
};

// The middle of each half: a resnet, attention over all places (one head) where the configuration has it, a resnet.
class MidBlock {
 public:
  MidBlock(StoredWeights& weights, const std::string& name, int64_t channels, int64_t groups, bool attention);
  at::Tensor forward(const at::Tensor& x) const;
  void allow_tf32();  // of the convolutions, not of attention's products

 private:
  struct Attention {
    GroupNorm norm;
    Linear query, key, value, out;
  };

  ResnetBlock before_;
  std::optional<Attention> attention_;
  ResnetBlock after_;
};

// Some resnets, then a change of the side by two, but in the last level.
struct Level {
  std::vector<ResnetBlock> resnets;
  std::optional<Conv2d> resample;
};

// [B, C, H, W] to [B, C, H/2, W/2] (odd sides rounded down): the convolution has zeros on the right and below only.
at::Tensor downsample(const Conv2d& convolution, const at::Tensor& x);

// To [B, C, 2H, 2W]: each pixel four times, then the convolution.
at::Tensor upsample(const Conv2d& convolution, const at::Tensor& x);

}  // namespace eam::nn
