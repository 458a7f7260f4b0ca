#include "nn/torchscript/torchscript_options.h"

namespace eam::nn {

const Choices& choices_of(VelocityConvention) {
  static const Choices choices = {.type = "", .text = "", .names = {"rectified-flow", "sigma", "sigma-1000"}};
  return choices;
}

const OptionTable& PretrainedPass::table() {
  static const OptionTable table =
      Describe<PretrainedPass>("PretrainedPass",
                               "This is where the velocity of the pretrained model comes from; one of its three ways.")
          .option<&PretrainedPass::module>("module", "A second module, which is frozen, computes it.")
          .option<&PretrainedPass::flag>("flag", "An argument of forward, a bool of this name, asks for it.")
          .option<&PretrainedPass::flag_value>("flagValue", "The argument has this value in the pretrained pass.")
          .option<&PretrainedPass::zeroed>("zeroed",
                                           "The parameters whose names end in one of these are zero in that pass.");
  return table;
}

const OptionTable& TorchScriptModelConfig::table() {
  static const OptionTable table =
      Describe<TorchScriptModelConfig>("TorchScriptModelConfig", "This describes a velocity network in TorchScript.")
          .required<&TorchScriptModelConfig::module>("module", "The module is in this file.")
          .option<&TorchScriptModelConfig::decoder>(
              "decoder", "A second module, in this file, makes images of latents; without it latents are the images.")
          .required<&TorchScriptModelConfig::shape>("shape", at_least(1), "One latent has this shape.")
          .option<&TorchScriptModelConfig::convention>(
              "convention", "The network is given the time and returns the velocity in this convention.")
          .option<&TorchScriptModelConfig::conditioning>(
              "conditioning", "The tensors of the conditioning are these arguments of forward, in this order.")
          .option<&TorchScriptModelConfig::trainable>(
              "trainable", "Parameters train whose names end in one of these; else those that require a gradient.")
          .option<&TorchScriptModelConfig::pretrained>(
              "pretrained", "The velocity of the pretrained model comes from here; without it there is no fine-tuning.")
          .option<&TorchScriptModelConfig::pretraining>(
              "pretraining",
              "The pretrained pass is what is trained: every parameter that fine-tuning would not train, nor zero.")
          .option<&TorchScriptModelConfig::latent_variance>(
              "latentVariance", above(0), "This is the variance of the latents of data, about their mean.");
  return table;
}

}  // namespace eam::nn
