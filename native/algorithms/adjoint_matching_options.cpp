#include "algorithms/adjoint_matching_options.h"

namespace eam {

const OptionTable& AdjointMatchingOptions::table() {
  static const OptionTable table =
      Describe<AdjointMatchingOptions>(
          "AdjointMatchingOptions",
          "These options are those of {@link adjointMatching}, in the notation of arXiv 2409.08861: h = 1/K, "
          "σ² = 2(1 − t + h)/(t + h), the loss Σ ‖(2/σ)(v_θ − v_pre) + σ a‖² over a subset of the K steps.")
          .tag("am")
          .includes<RewardOptions>()
          .option<&AdjointMatchingOptions::steps>("steps", at_least(1),
                                                  "K is the number of steps of the stochastic rollout; each costs a "
                                                  "forward and, for the adjoint, a forward and "
                                                  "a VJP.")
          .option<&AdjointMatchingOptions::drawn_steps>(
              "drawnSteps", at_least(0),
              "This many of the steps before the final ones enter the loss, drawn anew in each iteration.")
          .option<&AdjointMatchingOptions::final_fraction>(
              "finalFraction", at_least(0).at_most(1), "The last steps, as a fraction of all, are always in the loss.")
          .option<&AdjointMatchingOptions::cap>("cap", above(0),
                                                "A term of the loss (one sample at one step, mean over elements) that "
                                                "reaches this counts as the cap and gives "
                                                "no gradient. Left out, no term is capped.");
  return table;
}

}  // namespace eam
