#include "ops/kernel_options.h"

namespace eam::ops {

namespace {

constexpr const char* noise_text = "ε is a tensor of the shape of a sample, or drawn on the fly.";
constexpr const char* time_text = "t is where the step begins, or ends for the adjoint.";
constexpr const char* step_text = "h is the length of the step, with t + h ≤ 1.";

// Where a result goes that is like the argument of this name.
std::string output_text(const std::string& like) {
  return "This takes the result and is what the call returns: like `" + like +
         "`, which it may be; never part of an input.";
}

constexpr const char* gradient_text =
    "This takes the gradient and is returned as `grad`: like `velocity`, which it may be; never part of an input.";
constexpr const char* velocity_text = "v_θ(x_t, t) is [B, …].";

}  // namespace

const Choices& choices_of(Weighting) {
  static const Choices choices = {"", "", {"velocity", "adjoint_matching"}};
  return choices;
}

const OptionTable& PhiloxNormalOptions::table() {
  static const OptionTable table =
      Describe<PhiloxNormalOptions>("PhiloxNormalOptions", "These options are those of {@link philoxNormal}.")
          .required<&PhiloxNormalOptions::seed>("seed", "The generator has this key, in [0, 2⁶⁴).")
          .given("stream", "bigint | readonly bigint[] | BigUint64Array",
                 "One stream in [0, 2⁶⁴) numbers the elements of the whole tensor; several, one a sample, number each "
                 "sample's own.")
          .maybe_given("dtype", "DType", "The result has this dtype. Left out, it is `'float32'`.")
          .maybe_given("device", "Device", "The result lies on this device. Left out, it is `'cpu'`.")
          .maybe_given(
              "out", "Tensor",
              "This takes the result and is what the call returns: a tensor of the shape, dtype and device asked "
              "for.");
  return table;
}

const OptionTable& RenoiseOptions::table() {
  static const OptionTable table =
      Describe<RenoiseOptions>("RenoiseOptions", "These options are those of {@link renoise}.")
          .given("x1", "Tensor", "X_1 is data, [B, …], or with `terminalTime` t* the endpoint Y = X_{t*}.")
          .given("t", "PerSample", "t is in [0, terminalTime], one entry a sample.")
          .given("noise", "Noise", noise_text)
          .option<&RenoiseOptions::terminal_time>("terminalTime", above(0).at_most(1),
                                                  "t* is the time of `x1`: 1 for data, 1 − δ for the endpoint of a "
                                                  "shortened rollout.")
          .maybe_given("out", "Tensor", output_text("x1"));
  return table;
}

const OptionTable& TerminalGradientOptions::table() {
  static const OptionTable table =
      Describe<TerminalGradientOptions>("TerminalGradientOptions",
                                        "These options are those of {@link terminalGradient}.")
          .given("x", "Tensor", "X is the endpoint, [B, …].")
          .given("velocity", "Tensor", "The pretrained velocity at (x, time) is [B, …].")
          .given("rewardGrad", "Tensor", "∇r is [B, …].")
          .required<&TerminalGradientOptions::lambda>("lambda", "λ says how strongly the reward tilts the model.")
          .required<&TerminalGradientOptions::time>("time", at_least(0).below(1),
                                                    "The score is taken at this time, 1 − δ; it divides by 1 − time.")
          .maybe_given("out", "Tensor", output_text("x"));
  return table;
}

const OptionTable& Matching::table() {
  static const OptionTable table =
      Describe<Matching>("MatchingLossOptions", "These options are those of {@link matchingLoss}.")
          .given("velocity", "Tensor", velocity_text)
          .given("x1", "Tensor", "X_1 or Y, [B, …], is what was given to {@link renoise}.")
          .given("terminalGradient", "Tensor", "G, [B, …], is what {@link terminalGradient} gave.")
          .given("t", "PerSample", "t, in [0, terminalTime], is what was given to {@link renoise}.")
          .required<&Matching::C>("C", above(0.5),
                                  "C sets the variance κ = 2C − 1 of the base. It trades the target's two sources of "
                                  "variance and biases nothing.")
          .maybe_given("noise", "Noise",
                       "ε is what was given to {@link renoise}: it is drawn again. Either this or `x` is given.")
          .maybe_given(
              "x", "Tensor",
              "x_t, [B, …], is what {@link renoise} gave: on a CPU, reading it costs less than drawing the noise "
              "again.")
          .option<&Matching::weighting>(
              "weighting", "The weight w is 1 with `'velocity'` and min(2t/(1−t), cap) with `'adjoint_matching'`.")
          .option<&Matching::cap>("cap", above(0), "The `adjoint_matching` weight never exceeds this.")
          .option<&Matching::terminal_time>("terminalTime", above(0).at_most(1),
                                            "t* is what was given to {@link renoise}.")
          .maybe_given("grad", "Tensor", gradient_text);
  return table;
}

const OptionTable& FlowMatchingLossOptions::table() {
  static const OptionTable table =
      Describe<FlowMatchingLossOptions>("FlowMatchingLossOptions",
                                        "These options are those of {@link flowMatchingLoss}.")
          .given("velocity", "Tensor", velocity_text)
          .given("x1", "Tensor", "X_1 is data, [B, …].")
          .given("noise", "Noise", "ε is what was given to {@link renoise}.")
          .maybe_given("grad", "Tensor", gradient_text);
  return table;
}

const OptionTable& MemorylessStepOptions::table() {
  static const OptionTable table =
      Describe<MemorylessStepOptions>("MemorylessStepOptions", "These options are those of {@link memorylessStep}.")
          .given("x", "Tensor", "X_t is [B, …].")
          .given("velocity", "Tensor", "v_θ(x, t) is [B, …].")
          .required<&MemorylessStepOptions::t>("t", at_least(0).below(1), time_text)
          .required<&MemorylessStepOptions::h>("h", above(0), step_text)
          .given("noise", "Noise", noise_text)
          .maybe_given("out", "Tensor", output_text("x"));
  return table;
}

const OptionTable& LeanAdjointStepOptions::table() {
  static const OptionTable table =
      Describe<LeanAdjointStepOptions>("LeanAdjointStepOptions", "These options are those of {@link leanAdjointStep}.")
          .given("adjoint", "Tensor", "a at t + h is [B, …].")
          .given("vjp", "Tensor", "aᵀ ∂v_pre/∂x at (x_t, t) is [B, …].")
          .required<&LeanAdjointStepOptions::t>("t", at_least(0).below(1), time_text)
          .required<&LeanAdjointStepOptions::h>("h", above(0), step_text)
          .maybe_given("out", "Tensor", output_text("adjoint"));
  return table;
}

}  // namespace eam::ops
