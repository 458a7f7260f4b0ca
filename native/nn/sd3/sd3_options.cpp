#include "nn/sd3/sd3_options.h"

namespace eam::nn {

const OptionTable& Sd3TransformerConfig::table() {
  static const OptionTable table =
      Describe<Sd3TransformerConfig>(
          "Sd3TransformerConfig", "These are the sizes of Stable Diffusion 3's transformer (MMDiT, arXiv 2403.03206).")
          .required<&Sd3TransformerConfig::patch_size>("patchSize", at_least(1).at_most(256),
                                                       "A token stands for a square of latents with this side.")
          .required<&Sd3TransformerConfig::in_channels>("inChannels", at_least(1).at_most(4096),
                                                        "Latents have this many channels.")
          .required<&Sd3TransformerConfig::out_channels>("outChannels", at_least(1).at_most(4096),
                                                         "Velocities have as many channels as latents.")
          .required<&Sd3TransformerConfig::layers>("layers", at_least(1).at_most(1024),
                                                   "The network has this many blocks.")
          .required<&Sd3TransformerConfig::heads>("heads", at_least(1).at_most(4096), "Attention has this many heads.")
          .required<&Sd3TransformerConfig::head_dim>("headDim", at_least(1).at_most(4096),
                                                     "A head has this many numbers.")
          .required<&Sd3TransformerConfig::joint_attention_dim>(
              "jointAttentionDim", at_least(1).at_most(1 << 20),
              "A token of the prompt's embedding has this many numbers.")
          .required<&Sd3TransformerConfig::caption_projection_dim>(
              "captionProjectionDim", "These are projected to as many numbers as heads · headDim.")
          .required<&Sd3TransformerConfig::pooled_projection_dim>(
              "pooledProjectionDim", at_least(1).at_most(1 << 20),
              "The prompt's pooled embedding has this many numbers.")
          .required<&Sd3TransformerConfig::pos_embed_max_size>(
              "posEmbedMaxSize", at_least(1).at_most(4096),
              "The stored table of positions has this many patches a side; a latent's are cut from its middle.")
          .required<&Sd3TransformerConfig::dual_attention_layers>(
              "dualAttentionLayers", at_least(0),
              "The blocks of these numbers have a second attention, over the image alone.")
          .required<&Sd3TransformerConfig::qk_norm>("qkNorm", "True where queries and keys are RMS-normalised.");
  return table;
}

}  // namespace eam::nn
