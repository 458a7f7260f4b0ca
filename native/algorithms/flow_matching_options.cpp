#include "algorithms/flow_matching_options.h"

namespace eam {

const Choices& choices_of(TimeDistribution) {
  static const Choices choices = {
      "TimeDistribution",
      "The distribution of the times of flow matching: uniform, or the standard logit-normal "
      "one of arXiv 2403.03206.",
      {"uniform", "logit_normal"}};
  return choices;
}

const OptionTable& FlowMatchingOptions::table() {
  static const OptionTable table =
      Describe<FlowMatchingOptions>("FlowMatchingOptions", "These options are those of a step of flow matching.")
          .option<&FlowMatchingOptions::dropout>(
              "dropout", at_least(0).at_most(1),
              "A sample is trained without its conditioning with this probability, for guidance.")
          .option<&FlowMatchingOptions::times>("timeDistribution",
                                               "Times are drawn from this, stratified over the batch.")
          .option<&FlowMatchingOptions::times_each>(
              "timesEach", at_least(1),
              "Each sample is renoised and regressed on at this many times of one step, spread over their "
              "distribution.")
          .option<&FlowMatchingOptions::micro_batch>(
              "microBatch", at_least(0),
              "A network evaluation takes at most this many renoised samples; 0: all of them at once. The numbers are "
              "the same.");
  return table;
}

}  // namespace eam
