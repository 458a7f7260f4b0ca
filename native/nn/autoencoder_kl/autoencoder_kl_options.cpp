#include "nn/autoencoder_kl/autoencoder_kl_options.h"

namespace eam::nn {

const OptionTable& AutoencoderKlConfig::table() {
  static const OptionTable table =
      Describe<AutoencoderKlConfig>("AutoencoderKlConfig",
                                    "These are the sizes of latent diffusion's autoencoder (arXiv 2112.10752).")
          .required<&AutoencoderKlConfig::in_channels>("inChannels", at_least(1),
                                                       "The encoder takes images of this many channels.")
          .required<&AutoencoderKlConfig::out_channels>("outChannels", at_least(1),
                                                        "The decoder makes images of this many channels.")
          .required<&AutoencoderKlConfig::latent_channels>("latentChannels", at_least(1),
                                                           "Latents have this many channels.")
          .required<&AutoencoderKlConfig::block_out_channels>(
              "blockOutChannels", at_least(1),
              "Each level has this many channels, the finest level first; multiples of normGroups.")
          .option<&AutoencoderKlConfig::decoder_block_out_channels>(
              "decoderBlockOutChannels", at_least(1),
              "Each level of the decoder has this many channels, where they are others than the encoder's.")
          .required<&AutoencoderKlConfig::layers_per_block>(
              "layersPerBlock", at_least(1),
              "A level of the encoder has this many residual blocks, the decoder's one more.")
          .required<&AutoencoderKlConfig::norm_groups>("normGroups", at_least(1),
                                                       "Channels are normalised in this many groups.")
          .required<&AutoencoderKlConfig::mid_block_attention>(
              "midBlockAttention", "True where the middle of each half attends over all places.")
          .required<&AutoencoderKlConfig::use_quant_conv>(
              "useQuantConv", "True where the encoder ends with a convolution of one place.")
          .required<&AutoencoderKlConfig::use_post_quant_conv>(
              "usePostQuantConv", "True where the decoder begins with a convolution of one place.")
          .required<&AutoencoderKlConfig::scaling_factor>(
              "scalingFactor", "The latents are (z − shiftFactor) · scalingFactor, z the encoder's mean; not 0.")
          .required<&AutoencoderKlConfig::shift_factor>("shiftFactor",
                                                        "The latents are shifted by this before they are scaled.")
          .option<&AutoencoderKlConfig::tf32>(
              "tf32",
              "True where the decoder's convolutions, and nothing else, may round what they multiply to TF32 on a GPU, "
              "forward and backward.");
  return table;
}

}  // namespace eam::nn
