#include "nn/autoencoder_kl/blocks.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "nn/autoencoder_kl/convolution.h"
#include "nn/layers/attention.h"

namespace eam::nn {

namespace {

constexpr double group_norm_epsilon = 1e-6;  // of every norm, whatever the configuration

}  // namespace

Conv2d::Conv2d(StoredWeights& weights, const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride,
               int64_t padding)
    : weight_(weights.take(name + ".weight", {out, in, kernel, kernel})),
      bias_(weights.take(name + ".bias", {out})),
      stride_(stride),
      padding_(padding) {}

at::Tensor Conv2d::forward(const at::Tensor& x) const {
  if (tf32_) return tf32_convolution(x, weight_, bias_, stride_, padding_);
  return at::conv2d(x, weight_, bias_, {stride_, stride_}, {padding_, padding_});
}

GroupNorm::GroupNorm(StoredWeights& weights, const std::string& name, int64_t channels, int64_t groups)
    : weight_(weights.take(name + ".weight", {channels})),
      bias_(weights.take(name + ".bias", {channels})),
      groups_(groups) {}

at::Tensor GroupNorm::forward(const at::Tensor& x) const {
  return at::group_norm(x, groups_, weight_, bias_, group_norm_epsilon);
}

ResnetBlock::ResnetBlock(StoredWeights& weights, const std::string& name, int64_t in, int64_t out, int64_t groups)
    : norm1_(weights, name + ".norm1", in, groups),
      conv1_(weights, name + ".conv1", in, out, 3, 1, 1),
      norm2_(weights, name + ".norm2", out, groups),
      conv2_(weights, name + ".conv2", out, out, 3, 1, 1) {
  if (in != out) shortcut_.emplace(weights, name + ".conv_shortcut", in, out, 1);
}

at::Tensor ResnetBlock::forward(const at::Tensor& x) const {
  const at::Tensor h = conv1_.forward(at::silu(norm1_.forward(x)));
  return (shortcut_ ? shortcut_->forward(x) : x) + conv2_.forward(at::silu(norm2_.forward(h)));
}

void ResnetBlock::allow_tf32() {
  conv1_.allow_tf32();
  conv2_.allow_tf32();
  if (shortcut_) shortcut_->allow_tf32();
}

MidBlock::MidBlock(StoredWeights& weights, const std::string& name, int64_t channels, int64_t groups, bool attention)
    : before_(weights, name + ".resnets.0", channels, channels, groups),
      after_(weights, name + ".resnets.1", channels, channels, groups) {
  if (!attention) return;
  const std::string inner = name + ".attentions.0.";
  attention_.emplace(Attention{
      GroupNorm(weights, inner + "group_norm", channels, groups), Linear(weights, inner + "to_q", channels, channels),
      Linear(weights, inner + "to_k", channels, channels), Linear(weights, inner + "to_v", channels, channels),
      Linear(weights, inner + "to_out.0", channels, channels)});
}

at::Tensor MidBlock::forward(const at::Tensor& x) const {
  at::Tensor h = before_.forward(x);
  if (attention_) {
    const at::Tensor places = attention_->norm.forward(h).flatten(2).transpose(1, 2);
    const at::Tensor mixed = attend(attention_->query.forward(places, false), attention_->key.forward(places, false),
                                    attention_->value.forward(places, false), /*heads=*/1);
    h = h + attention_->out.forward(mixed, false).transpose(1, 2).reshape(h.sizes());
  }
  return after_.forward(h);
}

void MidBlock::allow_tf32() {
  before_.allow_tf32();
  after_.allow_tf32();
}

at::Tensor downsample(const Conv2d& convolution, const at::Tensor& x) {
  return convolution.forward(at::constant_pad_nd(x, {0, 1, 0, 1}));
}

at::Tensor upsample(const Conv2d& convolution, const at::Tensor& x) {
  return convolution.forward(at::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2}));
}

}  // namespace eam::nn
