#include "algorithms/optimizer_options.h"

namespace eam {

const OptionTable& OptimizerOptions::table() {
  static const OptionTable table =
      Describe<OptimizerOptions>(
          "AdamWOptions",
          "These options are those of an AdamW update (arXiv 1711.05101) at the learning rate η, "
          "m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², p ← (1 − ηd) p − η m̂/(√v̂ + ε), and of the "
          "average of the weights that it moves.")
          .validated()
          .option<&OptimizerOptions::betas>("betas", at_least(0).below(1),
                                            "β₁ and β₂ are the decays of the two moments.")
          .option<&OptimizerOptions::epsilon>("epsilon", above(0), "ε is added to the root of the second moment.")
          .option<&OptimizerOptions::weight_decay>("weightDecay", at_least(0),
                                                   "d shrinks the weights, decoupled from the gradient.")
          .option<&OptimizerOptions::ema_decay>(
              "emaDecay", at_least(0).below(1),
              "Weights are averaged with this decay, w̄ ← decay w̄ + (1 − decay) w; 0: they are not averaged.");
  return table;
}

}  // namespace eam
