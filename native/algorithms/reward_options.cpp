#include "algorithms/reward_options.h"

namespace eam {

const OptionTable& RewardOptions::table() {
  static const OptionTable table =
      Describe<RewardOptions>("AlgorithmOptions", "These options are what all algorithms share.")
          .option<&RewardOptions::lambda>("lambda", at_least(0),
                                          "λ is the strength of the tilt: the target is p*(x) ∝ p_pre(x) e^{λ r(x)}. "
                                          "{@link refl}, {@link draft} and {@link alignProp} have no such target: λ "
                                          "scales their gradient.")
          .option<&RewardOptions::guidance>("guidance", at_least(0),
                                            "w is the classifier-free guidance of the rollout, v = v_uncond + w "
                                            "(v_cond − v_uncond); 1 stands for none, "
                                            "and no unconditional evaluation. The loss is that of the conditional "
                                            "velocity, unless the algorithm is told otherwise; {@link refl}, {@link "
                                            "draft} and {@link alignProp} differentiate the guided one, both parts.")
          .option<&RewardOptions::micro_batch>(
              "microBatch", at_least(0),
              "A network evaluation takes at most this many samples; 0: the whole batch "
              "at once. The numbers are the same.")
          .option<&RewardOptions::rollout_batch>(
              "rolloutBatch", at_least(0),
              "A network evaluation of the rollout, which keeps nothing for a gradient, takes at most this many rows, "
              "of which a guided sample has two; 0: all at once. Left out, `eam finetune` takes as many as a GPU's "
              "free "
              "memory allows, and everything else as many as microBatch.")
          .option<&RewardOptions::decode_slice>(
              "decodeSlice", at_least(0),
              "So many images at once are decoded and scored, and the reward's gradient is taken back to their "
              "latents; "
              "0: the whole batch. Each image is decoded once, unless a reward reads the whole batch. Left out, a "
              "fine-tuning takes the most that make no more memory needed than its other phases, as its plan has it; "
              "an algorithm by itself takes the whole batch.")
          .option<&RewardOptions::reward_gradient_quantile>(
              "rewardGradientQuantile", above(0).at_most(1),
              "Norms of ∇r above this running quantile are clipped to it; 1: off. A guard against outliers, and a "
              "bias: the "
              "samples with the steepest rewards are tilted less than λ asks for, 10 % of them at 0.9, always.");
  return table;
}

}  // namespace eam
