#include "algorithms/eam_options.h"

namespace eam {

const Choices& choices_of(Terminal) {
  static const Choices choices = {"", "", {"consistent", "plugin"}};
  return choices;
}

const Choices& choices_of(EndpointSource) {
  static const Choices choices = {"", "", {"current", "pretrained"}};
  return choices;
}

const OptionTable& EamOptions::table() {
  static const OptionTable table =
      Describe<EamOptions>(
          "EamOptions",
          "These options are those of {@link eam}, in the notation of arXiv 2605.11480 with t = 0 at noise "
          "and t = 1 at data. What is regressed on is "
          "v̂ = [(2Ct − 1) x_t + (1 − t) X_1 + (1 − t) κ G] / Q, κ = 2C − 1, Q = 2Ct² − 2t + 1, "
          "G = λ∇r(X_1) + ∇log p_pre(X_1).")
          .tag("eam")
          .includes<RewardOptions>()
          .option<&EamOptions::C>("C", above(0.5),
                                  "C weighs the two parts of v̂, the flow-matching target by (1 − t)²/Q and the "
                                  "target-score target by t²κ/Q. "
                                  "It trades the variance of one against the other's and biases nothing.")
          .option<&EamOptions::delta>(
              "delta", above(0).below(1),
              "δ says where the terminal score is taken: it is the pretrained one at time 1 − δ.")
          .option<&EamOptions::terminal>("terminal",
                                         "With `'consistent'` the whole problem ends at time 1 − δ, where its score is "
                                         "known: without a reward nothing "
                                         "moves, for every δ. With `'plugin'` the rollout goes on to X_1 and the score "
                                         "of time 1 − δ is taken there, "
                                         "as in the paper; that is biased for δ > 0.")
          .option<&EamOptions::solver>("solver", "The rollout solves the ODE dX = v(X, t) dt with this.")
          .option<&EamOptions::steps>(
              "steps", at_least(1),
              "The rollout's solver takes this many steps; Heun's and the midpoint rule evaluate twice a step.")
          .option<&EamOptions::shift>(
              "shift", above(0),
              "s spaces those steps: σ = s u/(1 + (s − 1) u), u equally spaced, σ = 1 − t. Left "
              "out, it is the model's own.")
          .option<&EamOptions::renoisings>("renoisings", at_least(1),
                                           "M is the number of renoised points a sample and iteration.")
          .option<&EamOptions::weighting>(
              "weighting",
              "The squared error is weighed by 1 with `'velocity'`, and by min(2t/(1 − t), cap) with "
              "`'adjoint_matching'`, as in Adjoint Matching.")
          .option<&EamOptions::cap>("cap", above(0), "The `adjoint_matching` weight never exceeds this.")
          .option<&EamOptions::reward_through_denoiser>("rewardThroughDenoiser",
                                                        "True sends the reward's gradient through the pretrained "
                                                        "denoiser (one more VJP). False multiplies it by what the "
                                                        "denoiser's Jacobian is for Gaussian latents. True needs "
                                                        "the terminal `'consistent'`.")
          .option<&EamOptions::guided_loss>("guidedLoss",
                                            "True, with guidance, matches the guided velocity and takes score and "
                                            "image from the pretrained model's, as "
                                            "the rollout does, at twice the evaluations. False matches the conditional "
                                            "velocity to the guided rollout.")
          .switched<&EamOptions::modes>(
              "modes",
              "The term that corrects the weights of modes: plain EAM knows gradients of log densities alone, and "
              "keeps "
              "the pretrained weights of modes that are apart. It needs the terminal `'consistent'`, costs four "
              "network "
              "evaluations without gradients for each of its `times`, and makes the default of C 0.6. True takes the "
              "defaults of {@link ModeOptions}.")
          .option<&EamOptions::endpoints>(
              "endpoints",
              "With `'current'` each step draws endpoints from the model that is trained. With `'pretrained'` they are "
              "drawn and scored once, from the pretrained model, and each step takes some of them with probabilities "
              "in proportion to e^{λr}: the weights of modes are right, the reward needs no gradient, and a step costs "
              "less than half, as long as a few of a prompt's endpoints do not hold all the weight. It needs the "
              "terminal `'consistent'`, excludes `modes`, and makes the default of C 0.6.")
          .option<&EamOptions::endpoints_per_prompt>("endpointsPerPrompt", at_least(1),
                                                     "So many endpoints `'pretrained'` are drawn for each prompt.");
  return table;
}

}  // namespace eam
