#include "algorithms/backpropagation_options.h"

namespace eam {

const OptionTable& BackpropagationOptions::table() {
  static const OptionTable table =
      Describe<BackpropagationOptions>("BackpropagationOptions",
                                       "These options are what {@link refl}, {@link draft} and {@link alignProp} "
                                       "share: the rollout, through whose last steps the reward is differentiated.")
          .includes<RewardOptions>()
          .option<&BackpropagationOptions::solver>("solver", "The rollout solves the ODE dX = v(X, t) dt with this.")
          .option<&BackpropagationOptions::steps>(
              "steps", at_least(1),
              "The rollout's solver takes this many steps; Heun's and the midpoint rule evaluate twice a step.")
          .option<&BackpropagationOptions::shift>(
              "shift", above(0),
              "s spaces those steps: σ = s u/(1 + (s − 1) u), u equally spaced, σ = 1 − t. Left out, it is the model's "
              "own.");
  return table;
}

const OptionTable& ReflOptions::table() {
  static const OptionTable table =
      Describe<ReflOptions>("ReflOptions",
                            "These options are those of {@link refl} (arXiv 2304.05977): the rollout stops before one "
                            "of its last steps, at x of time t, and the reward reads x + (1 − t) v(x, t), through "
                            "which alone it is differentiated.")
          .tag("refl")
          .includes<BackpropagationOptions>()
          .option<&ReflOptions::final_fraction>(
              "finalFraction", above(0).at_most(1),
              "The step is drawn anew in each iteration, uniformly from the last steps, which are this fraction of "
              "all.");
  return table;
}

const OptionTable& DraftOptions::table() {
  static const OptionTable table =
      Describe<DraftOptions>("DraftOptions",
                             "These options are those of {@link draft} (arXiv 2309.17400): the reward is "
                             "differentiated through the last K steps of the rollout.")
          .tag("draft")
          .includes<BackpropagationOptions>()
          .option<&DraftOptions::last_steps>(
              "lastSteps", at_least(1),
              "K is how many of the last steps are differentiated; the rollout's number of them is all.")
          .option<&DraftOptions::renoisings>(
              "renoisings", at_least(0),
              "n makes DRaFT-LV of DRaFT-1: n times the sample is noised to the start of the last step and the step "
              "taken again, and the gradient is the mean over all n + 1 images. It needs `lastSteps` 1.");
  return table;
}

const OptionTable& AlignPropOptions::table() {
  static const OptionTable table =
      Describe<AlignPropOptions>("AlignPropOptions",
                                 "These options are those of {@link alignProp} (arXiv 2310.03739): the reward is "
                                 "differentiated through the last K steps of the rollout, K drawn anew in each "
                                 "iteration.")
          .tag("alignprop")
          .includes<BackpropagationOptions>()
          .option<&AlignPropOptions::fewest_steps>("fewestSteps", at_least(1), "K is at least this.")
          .option<&AlignPropOptions::most_steps>(
              "mostSteps", at_least(1), "K is at most this; left out, it may be all the steps of the rollout.");
  return table;
}

}  // namespace eam
