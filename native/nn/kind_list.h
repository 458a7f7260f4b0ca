#pragma once

#include "nn/autoencoder_kl/autoencoder_kl_options.h"
#include "nn/clip/clip_options.h"
#include "nn/digits/digits_options.h"
#include "nn/flux2/flux2_options.h"
#include "nn/mixture/gaussian_mixture_options.h"
#include "nn/qwen3/qwen3_options.h"
#include "nn/rewards/image_reward_options.h"
#include "nn/sd3/sd3_options.h"
#include "nn/t5/t5_options.h"
#include "nn/torchscript/torchscript_options.h"

// The list of all networks: the NetworkKind that a network's folder defines, its name in JavaScript, its configuration,
// and its interface. A new network is a folder and a line here. No header of LibTorch is needed to read it: the types
// of TypeScript are generated from it.
// clang-format off
#define EAM_NETWORKS(KIND)                                                        \
  KIND(digits, "digits", DigitsModelConfig, "FlowModel")                          \
  KIND(digit_classifier, "digit-classifier", DigitClassifierConfig, "Classifier") \
  KIND(gaussian_mixture, "gaussian-mixture", GaussianMixtureConfig, "FlowModel")  \
  KIND(sd3, "sd3", Sd3TransformerConfig, "FlowModel")                             \
  KIND(flux2, "flux2", Flux2TransformerConfig, "FlowModel")                       \
  KIND(flux2_autoencoder, "flux2-autoencoder", Flux2AutoencoderConfig, "Autoencoder") \
  KIND(torchscript, "torchscript", TorchScriptModelConfig, "FlowModel")           \
  KIND(autoencoder_kl, "autoencoder-kl", AutoencoderKlConfig, "Autoencoder")      \
  KIND(clip_text, "clip-text", ClipTextConfig, "TextEncoder")                     \
  KIND(t5_encoder, "t5-encoder", T5EncoderConfig, "TextEncoder")                  \
  KIND(qwen3_encoder, "qwen3-encoder", Qwen3EncoderConfig, "TextEncoder")         \
  KIND(clip_reward, "clip-reward", ClipRewardConfig, "ImageReward")               \
  KIND(blip_reward, "blip-reward", BlipRewardConfig, "ImageReward")
// clang-format on
