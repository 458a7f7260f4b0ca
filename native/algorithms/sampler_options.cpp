#include "algorithms/sampler_options.h"

namespace eam {

const Choices& choices_of(SampledWeights) {
  static const Choices choices = {"", "", {"trained", "pretrained"}};
  return choices;
}

const OptionTable& SamplerOptions::table() {
  static const OptionTable table =
      Describe<SamplerOptions>("SamplerOptions", "These options say how a model's samples are drawn from noise.")
          .option<&SamplerOptions::solver>("solver", "This solves the ODE dX = v(X, t) dt.")
          .required<&SamplerOptions::times>("times", at_least(0).at_most(1),
                                            "The solver goes through these times, at least two, strictly increasing; "
                                            "the samples are those of the last.")
          .option<&SamplerOptions::guidance>("guidance", at_least(0),
                                             "w is the classifier-free guidance v_uncond + w (v_cond − v_uncond); 1 "
                                             "stands for none, and only that needs "
                                             "no unconditional conditioning.")
          .option<&SamplerOptions::weights>("weights", "With `'pretrained'` the adapter is off.")
          .option<&SamplerOptions::micro_batch>(
              "microBatch", at_least(0),
              "A network evaluation takes at most this many rows, of which a guided sample has two; 0: all at once.");
  return table;
}

}  // namespace eam
