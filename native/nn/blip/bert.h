#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "nn/blip/blip_options.h"
#include "nn/layers/layer_norm.h"
#include "nn/layers/lora.h"
#include "nn/layers/stored_weights.h"

namespace eam::nn {

// BLIP's text encoder: BERT (arXiv 1810.04805, without token types) with a cross-attention after each self-attention:
// PREFIX.embeddings.*, encoder.layer.N.{attention, crossattention, intermediate, output}.
class Bert {
 public:
  // Takes its own tensors; the caller takes the rest and then calls weights.finish().
  Bert(StoredWeights& weights, const std::string& prefix, const BertConfig& config);

  // ids, mask [B, L] (1: attended to, 0: padding), states [B, S, encoder_width], all of which are attended to; to
  // [B, L, width], of the weights' dtype. Error(shape) for ids or a mask that do not fit.
  at::Tensor forward(const at::Tensor& ids, const at::Tensor& mask, const at::Tensor& states) const;

 private:
  struct Attention {
    Linear query, key, value, out;
    LayerNorm norm;
  };
  struct Layer {
    Attention self, cross;
    Linear intermediate, output;
    LayerNorm norm;
  };

  static Attention attention(StoredWeights& weights, const std::string& name, const BertConfig& config, int64_t read);
  at::Tensor run(const Attention& attention, const at::Tensor& x, const at::Tensor& read, const at::Tensor& bias) const;

  const BertConfig config_;
  at::Tensor words_, positions_;
  LayerNorm norm_;
  std::vector<Layer> layers_;
};

}  // namespace eam::nn
