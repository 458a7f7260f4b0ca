#include "algorithms/mode_options.h"

namespace eam {

const OptionTable& ModeOptions::table() {
  static const OptionTable table =
      Describe<ModeOptions>("ModeOptions",
                            "These options are of the on-policy term that corrects the weights of modes "
                            "(docs/beyond-the-paper.md): each sample's target is moved by s times the deviation of its "
                            "conditional velocity, s = clip(gain (A − Ā), floor, ceiling), A = λr − log p_θ/p_pre.")
          .validated()
          .option<&ModeOptions::gain>("gain", at_least(0), "The advantage A − Ā is multiplied by this.")
          .option<&ModeOptions::floor>(
              "floor", Range().at_most(0),
              "s is never below this. Below −1 a single sample may push its surroundings away, and less of what "
              "the log ratio's noise says is cut off.")
          .option<&ModeOptions::ceiling>("ceiling", above(0), "s never exceeds this.")
          .option<&ModeOptions::normalise>(
              "normalise",
              "True divides A − Ā by max(1, the running standard deviation of A): for images, whose log ratios are "
              "noisy, together with a gain of 2.")
          .option<&ModeOptions::times>(
              "times", at_least(1),
              "log p_θ/p_pre is estimated at so many times a sample, with two noises of opposite sign at each.");
  return table;
}

}  // namespace eam
