#include "nn/flux2/flux2_options.h"

namespace eam::nn {

const OptionTable& Flux2TransformerConfig::table() {
  static const OptionTable table =
      Describe<Flux2TransformerConfig>("Flux2TransformerConfig",
                                       "These are the sizes of FLUX.2's transformer (diffusers' "
                                       "Flux2Transformer2DModel).")
          .required<&Flux2TransformerConfig::in_channels>("inChannels", at_least(1).at_most(1 << 16),
                                                          "Latents and velocities have this many channels.")
          .required<&Flux2TransformerConfig::layers>(
              "layers", at_least(0).at_most(1024),
              "The network has this many blocks with a stream for the image and one for the text.")
          .required<&Flux2TransformerConfig::single_layers>(
              "singleLayers", at_least(0).at_most(1024),
              "After them come this many blocks whose one stream holds text and image.")
          .required<&Flux2TransformerConfig::heads>("heads", at_least(1).at_most(4096),
                                                    "Attention has this many heads.")
          .required<&Flux2TransformerConfig::head_dim>("headDim", at_least(1).at_most(4096),
                                                       "A head has this many numbers.")
          .required<&Flux2TransformerConfig::joint_attention_dim>(
              "jointAttentionDim", at_least(1).at_most(1 << 20),
              "A token of the prompt's embedding has this many numbers.")
          .required<&Flux2TransformerConfig::time_channels>(
              "timeChannels", at_least(2).at_most(1 << 16),
              "The sinusoidal embedding of time has this many numbers; a multiple of 2.")
          .required<&Flux2TransformerConfig::mlp_ratio>(
              "mlpRatio", above(0).at_most(1024),
              "The feed-forward layers are this much wider inside than the tokens, rounded down.")
          .required<&Flux2TransformerConfig::rope_axes>(
              "ropeAxes", at_least(0),
              "So many numbers of a head turn with a token's image, row, column and place in the text; four multiples "
              "of 2 that add up to headDim.")
          .required<&Flux2TransformerConfig::rope_theta>("ropeTheta", above(0),
                                                         "The slowest of them turn about this much slower.")
          .required<&Flux2TransformerConfig::norm_epsilon>("normEpsilon", above(0),
                                                           "Norms add this to a variance or a mean square.");
  return table;
}

const OptionTable& Flux2AutoencoderConfig::table() {
  static const OptionTable table =
      Describe<Flux2AutoencoderConfig>("Flux2AutoencoderConfig",
                                       "These are the sizes of FLUX.2's autoencoder (diffusers' AutoencoderKLFlux2).")
          .required<&Flux2AutoencoderConfig::networks>("networks", "Encoder and decoder have these sizes.")
          .required<&Flux2AutoencoderConfig::patch_size>(
              "patchSize", at_least(1).at_most(256),
              "A latent is a square with this side of what the encoder makes, its channels side by side.")
          .required<&Flux2AutoencoderConfig::batch_norm_epsilon>(
              "batchNormEpsilon", at_least(0),
              "Latents are normalised by stored means and by the roots of stored variances plus this.");
  return table;
}

}  // namespace eam::nn
