// Written by `npm run generate` from the descriptions in native/**/*_options.cpp: change those, not this.

import { z } from 'zod';

import type { Filled } from '../../schema/filled.js';
import { solverNames, type SolverName, type TimeDistribution } from './choices.generated.js';
import type { Noise, PerSample } from './noise.js';
import type { Device, DType, Tensor } from './tensor.js';

/** The native core keeps whole numbers in 32 bits. */
const largestInt = 2 ** 31 - 1;

/**
 * These options are of the on-policy term that corrects the weights of modes (docs/beyond-the-paper.md): each sample's
 * target is moved by s times the deviation of its conditional velocity, s = clip(gain (A − Ā), floor, ceiling), A = λr
 * − log p_θ/p_pre.
 */
export interface ModeOptions {
  /** The advantage A − Ā is multiplied by this. It is at least 0. @defaultValue 8 */
  gain?: number | undefined;
  /**
   * s is never below this. Below −1 a single sample may push its surroundings away, and less of what the log ratio's
   * noise says is cut off. It is at most 0.
   * @defaultValue -1
   */
  floor?: number | undefined;
  /** s never exceeds this. It is above 0. @defaultValue 4 */
  ceiling?: number | undefined;
  /**
   * True divides A − Ā by max(1, the running standard deviation of A): for images, whose log ratios are noisy, together
   * with a gain of 2.
   * @defaultValue false
   */
  normalise?: boolean | undefined;
  /**
   * log p_θ/p_pre is estimated at so many times a sample, with two noises of opposite sign at each. It is a whole
   * number, at least 1.
   * @defaultValue 3
   */
  times?: number | undefined;
}

export const modeOptionsSchema = z.strictObject({
  gain: z.number().min(0).default(8).describe('The advantage A − Ā is multiplied by this.'),
  floor: z
    .number()
    .max(0)
    .default(-1)
    .describe(
      's is never below this. Below −1 a single sample may push its surroundings away, and less of what the log ' +
        "ratio's noise says is cut off.",
    ),
  ceiling: z.number().gt(0).default(4).describe('s never exceeds this.'),
  normalise: z
    .boolean()
    .default(false)
    .describe(
      'True divides A − Ā by max(1, the running standard deviation of A): for images, whose log ratios are ' +
        'noisy, together with a gain of 2.',
    ),
  times: z
    .int()
    .min(1)
    .max(largestInt)
    .default(3)
    .describe('log p_θ/p_pre is estimated at so many times a sample, with two noises of opposite sign at each.'),
});

/** These options are what all algorithms share. */
export interface AlgorithmOptions {
  /**
   * λ is the strength of the tilt: the target is p*(x) ∝ p_pre(x) e^{λ r(x)}. {@link refl}, {@link draft} and {@link
   * alignProp} have no such target: λ scales their gradient. It is at least 0.
   * @defaultValue 1
   */
  lambda?: number | undefined;
  /**
   * w is the classifier-free guidance of the rollout, v = v_uncond + w (v_cond − v_uncond); 1 stands for none, and no
   * unconditional evaluation. The loss is that of the conditional velocity, unless the algorithm is told otherwise;
   * {@link refl}, {@link draft} and {@link alignProp} differentiate the guided one, both parts. It is at least 0.
   * @defaultValue 1
   */
  guidance?: number | undefined;
  /**
   * A network evaluation takes at most this many samples; 0: the whole batch at once. The numbers are the same. It is a
   * whole number, at least 0.
   * @defaultValue 0
   */
  microBatch?: number | undefined;
  /**
   * A network evaluation of the rollout, which keeps nothing for a gradient, takes at most this many rows, of which a
   * guided sample has two; 0: all at once. Left out, `eam finetune` takes as many as a GPU's free memory allows, and
   * everything else as many as microBatch. It is a whole number, at least 0.
   */
  rolloutBatch?: number | undefined;
  /**
   * So many images at once are decoded and scored, and the reward's gradient is taken back to their latents; 0: the
   * whole batch. Each image is decoded once, unless a reward reads the whole batch. Left out, a fine-tuning takes the
   * most that make no more memory needed than its other phases, as its plan has it; an algorithm by itself takes the
   * whole batch. It is a whole number, at least 0.
   */
  decodeSlice?: number | undefined;
  /**
   * Norms of ∇r above this running quantile are clipped to it; 1: off. A guard against outliers, and a bias: the
   * samples with the steepest rewards are tilted less than λ asks for, 10 % of them at 0.9, always. It is above 0 and
   * at most 1.
   * @defaultValue 1
   */
  rewardGradientQuantile?: number | undefined;
}

const algorithmOptions = {
  lambda: z
    .number()
    .min(0)
    .default(1)
    .describe(
      'λ is the strength of the tilt: the target is p*(x) ∝ p_pre(x) e^{λ r(x)}. `refl`, `draft` and ' +
        '`alignProp` have no such target: λ scales their gradient.',
    ),
  guidance: z
    .number()
    .min(0)
    .default(1)
    .describe(
      'w is the classifier-free guidance of the rollout, v = v_uncond + w (v_cond − v_uncond); 1 stands for ' +
        'none, and no unconditional evaluation. The loss is that of the conditional velocity, unless the ' +
        'algorithm is told otherwise; `refl`, `draft` and `alignProp` differentiate the guided one, both parts.',
    ),
  microBatch: z
    .int()
    .min(0)
    .max(largestInt)
    .default(0)
    .describe(
      'A network evaluation takes at most this many samples; 0: the whole batch at once. The numbers are the ' +
        'same.',
    ),
  rolloutBatch: z
    .int()
    .min(0)
    .max(largestInt)
    .optional()
    .describe(
      'A network evaluation of the rollout, which keeps nothing for a gradient, takes at most this many rows, ' +
        "of which a guided sample has two; 0: all at once. Left out, `eam finetune` takes as many as a GPU's free " +
        'memory allows, and everything else as many as microBatch.',
    ),
  decodeSlice: z
    .int()
    .min(0)
    .max(largestInt)
    .optional()
    .describe(
      "So many images at once are decoded and scored, and the reward's gradient is taken back to their latents; " +
        '0: the whole batch. Each image is decoded once, unless a reward reads the whole batch. Left out, a ' +
        'fine-tuning takes the most that make no more memory needed than its other phases, as its plan has it; an ' +
        'algorithm by itself takes the whole batch.',
    ),
  rewardGradientQuantile: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe(
      'Norms of ∇r above this running quantile are clipped to it; 1: off. A guard against outliers, and a bias: ' +
        'the samples with the steepest rewards are tilted less than λ asks for, 10 % of them at 0.9, always.',
    ),
};

/**
 * These options are those of {@link eam}, in the notation of arXiv 2605.11480 with t = 0 at noise and t = 1 at data.
 * What is regressed on is v̂ = [(2Ct − 1) x_t + (1 − t) X_1 + (1 − t) κ G] / Q, κ = 2C − 1, Q = 2Ct² − 2t + 1, G =
 * λ∇r(X_1) + ∇log p_pre(X_1).
 */
export interface EamOptions extends AlgorithmOptions {
  /**
   * C weighs the two parts of v̂, the flow-matching target by (1 − t)²/Q and the target-score target by t²κ/Q. It
   * trades the variance of one against the other's and biases nothing. It is above 0.5.
   * @defaultValue 1
   */
  C?: number | undefined;
  /**
   * δ says where the terminal score is taken: it is the pretrained one at time 1 − δ. It is above 0 and below 1.
   * @defaultValue 0.1
   */
  delta?: number | undefined;
  /**
   * With `'consistent'` the whole problem ends at time 1 − δ, where its score is known: without a reward nothing moves,
   * for every δ. With `'plugin'` the rollout goes on to X_1 and the score of time 1 − δ is taken there, as in the
   * paper; that is biased for δ > 0.
   * @defaultValue 'consistent'
   */
  terminal?: 'consistent' | 'plugin' | undefined;
  /** The rollout solves the ODE dX = v(X, t) dt with this. @defaultValue 'heun' */
  solver?: SolverName | undefined;
  /**
   * The rollout's solver takes this many steps; Heun's and the midpoint rule evaluate twice a step. It is a whole
   * number, at least 1.
   * @defaultValue 8
   */
  steps?: number | undefined;
  /**
   * s spaces those steps: σ = s u/(1 + (s − 1) u), u equally spaced, σ = 1 − t. Left out, it is the model's own. It is
   * above 0.
   */
  shift?: number | undefined;
  /** M is the number of renoised points a sample and iteration. It is a whole number, at least 1. @defaultValue 4 */
  renoisings?: number | undefined;
  /**
   * The squared error is weighed by 1 with `'velocity'`, and by min(2t/(1 − t), cap) with `'adjoint_matching'`, as in
   * Adjoint Matching.
   * @defaultValue 'velocity'
   */
  weighting?: 'velocity' | 'adjoint_matching' | undefined;
  /** The `adjoint_matching` weight never exceeds this. It is above 0. @defaultValue 20 */
  cap?: number | undefined;
  /**
   * True sends the reward's gradient through the pretrained denoiser (one more VJP). False multiplies it by what the
   * denoiser's Jacobian is for Gaussian latents. True needs the terminal `'consistent'`.
   * @defaultValue false
   */
  rewardThroughDenoiser?: boolean | undefined;
  /**
   * True, with guidance, matches the guided velocity and takes score and image from the pretrained model's, as the
   * rollout does, at twice the evaluations. False matches the conditional velocity to the guided rollout.
   * @defaultValue false
   */
  guidedLoss?: boolean | undefined;
  /**
   * The term that corrects the weights of modes: plain EAM knows gradients of log densities alone, and keeps the
   * pretrained weights of modes that are apart. It needs the terminal `'consistent'`, costs four network evaluations
   * without gradients for each of its `times`, and makes the default of C 0.6. True takes the defaults of {@link
   * ModeOptions}.
   * @defaultValue false
   */
  modes?: boolean | ModeOptions | undefined;
  /**
   * With `'current'` each step draws endpoints from the model that is trained. With `'pretrained'` they are drawn and
   * scored once, from the pretrained model, and each step takes some of them with probabilities in proportion to
   * e^{λr}: the weights of modes are right, the reward needs no gradient, and a step costs less than half, as long as a
   * few of a prompt's endpoints do not hold all the weight. It needs the terminal `'consistent'`, excludes `modes`, and
   * makes the default of C 0.6.
   * @defaultValue 'current'
   */
  endpoints?: 'current' | 'pretrained' | undefined;
  /**
   * So many endpoints `'pretrained'` are drawn for each prompt. It is a whole number, at least 1.
   * @defaultValue 1024
   */
  endpointsPerPrompt?: number | undefined;
}

export const eamOptionsSchema = z.strictObject({
  ...algorithmOptions,
  C: z
    .number()
    .gt(0.5)
    .default(1)
    .describe(
      'C weighs the two parts of v̂, the flow-matching target by (1 − t)²/Q and the target-score target by ' +
        "t²κ/Q. It trades the variance of one against the other's and biases nothing.",
    ),
  delta: z
    .number()
    .gt(0)
    .lt(1)
    .default(0.1)
    .describe('δ says where the terminal score is taken: it is the pretrained one at time 1 − δ.'),
  terminal: z
    .enum(['consistent', 'plugin'])
    .default('consistent')
    .describe(
      "With `'consistent'` the whole problem ends at time 1 − δ, where its score is known: without a reward " +
        "nothing moves, for every δ. With `'plugin'` the rollout goes on to X_1 and the score of time 1 − δ is " +
        'taken there, as in the paper; that is biased for δ > 0.',
    ),
  solver: z.enum(solverNames).default('heun').describe('The rollout solves the ODE dX = v(X, t) dt with this.'),
  steps: z
    .int()
    .min(1)
    .max(largestInt)
    .default(8)
    .describe("The rollout's solver takes this many steps; Heun's and the midpoint rule evaluate twice a step."),
  shift: z
    .number()
    .gt(0)
    .optional()
    .describe(
      "s spaces those steps: σ = s u/(1 + (s − 1) u), u equally spaced, σ = 1 − t. Left out, it is the model's " +
        'own.',
    ),
  renoisings: z
    .int()
    .min(1)
    .max(largestInt)
    .default(4)
    .describe('M is the number of renoised points a sample and iteration.'),
  weighting: z
    .enum(['velocity', 'adjoint_matching'])
    .default('velocity')
    .describe(
      "The squared error is weighed by 1 with `'velocity'`, and by min(2t/(1 − t), cap) with " +
        "`'adjoint_matching'`, as in Adjoint Matching.",
    ),
  cap: z.number().gt(0).default(20).describe('The `adjoint_matching` weight never exceeds this.'),
  rewardThroughDenoiser: z
    .boolean()
    .default(false)
    .describe(
      "True sends the reward's gradient through the pretrained denoiser (one more VJP). False multiplies it by " +
        "what the denoiser's Jacobian is for Gaussian latents. True needs the terminal `'consistent'`.",
    ),
  guidedLoss: z
    .boolean()
    .default(false)
    .describe(
      "True, with guidance, matches the guided velocity and takes score and image from the pretrained model's, " +
        'as the rollout does, at twice the evaluations. False matches the conditional velocity to the guided ' +
        'rollout.',
    ),
  modes: z
    .union([z.boolean(), modeOptionsSchema])
    .default(false)
    .describe(
      'The term that corrects the weights of modes: plain EAM knows gradients of log densities alone, and keeps ' +
        "the pretrained weights of modes that are apart. It needs the terminal `'consistent'`, costs four network " +
        'evaluations without gradients for each of its `times`, and makes the default of C 0.6. True takes the ' +
        'defaults of `ModeOptions`.',
    ),
  endpoints: z
    .enum(['current', 'pretrained'])
    .default('current')
    .describe(
      "With `'current'` each step draws endpoints from the model that is trained. With `'pretrained'` they are " +
        'drawn and scored once, from the pretrained model, and each step takes some of them with probabilities in ' +
        'proportion to e^{λr}: the weights of modes are right, the reward needs no gradient, and a step costs ' +
        "less than half, as long as a few of a prompt's endpoints do not hold all the weight. It needs the " +
        "terminal `'consistent'`, excludes `modes`, and makes the default of C 0.6.",
    ),
  endpointsPerPrompt: z
    .int()
    .min(1)
    .max(largestInt)
    .default(1024)
    .describe("So many endpoints `'pretrained'` are drawn for each prompt."),
});

/** {@link EamOptions} with every default filled in. */
export interface EamSettings
  extends Filled<Omit<EamOptions, 'rolloutBatch' | 'decodeSlice' | 'shift' | 'modes'>>,
    Pick<EamOptions, 'rolloutBatch' | 'decodeSlice' | 'shift'> {
  /** The name says which algorithm these are of. */
  name: 'eam';
  /**
   * The term that corrects the weights of modes: plain EAM knows gradients of log densities alone, and keeps the
   * pretrained weights of modes that are apart. It needs the terminal `'consistent'`, costs four network evaluations
   * without gradients for each of its `times`, and makes the default of C 0.6. True takes the defaults of {@link
   * ModeOptions}.
   */
  modes: boolean | Filled<ModeOptions>;
}

/**
 * These options are those of {@link adjointMatching}, in the notation of arXiv 2409.08861: h = 1/K, σ² = 2(1 − t +
 * h)/(t + h), the loss Σ ‖(2/σ)(v_θ − v_pre) + σ a‖² over a subset of the K steps.
 */
export interface AdjointMatchingOptions extends AlgorithmOptions {
  /**
   * K is the number of steps of the stochastic rollout; each costs a forward and, for the adjoint, a forward and a VJP.
   * It is a whole number, at least 1.
   * @defaultValue 20
   */
  steps?: number | undefined;
  /**
   * This many of the steps before the final ones enter the loss, drawn anew in each iteration. It is a whole number, at
   * least 0.
   * @defaultValue 10
   */
  drawnSteps?: number | undefined;
  /**
   * The last steps, as a fraction of all, are always in the loss. It is at least 0 and at most 1.
   * @defaultValue 0.25
   */
  finalFraction?: number | undefined;
  /**
   * A term of the loss (one sample at one step, mean over elements) that reaches this counts as the cap and gives no
   * gradient. Left out, no term is capped. It is above 0.
   */
  cap?: number | undefined;
}

export const adjointMatchingOptionsSchema = z.strictObject({
  ...algorithmOptions,
  steps: z
    .int()
    .min(1)
    .max(largestInt)
    .default(20)
    .describe(
      'K is the number of steps of the stochastic rollout; each costs a forward and, for the adjoint, a forward ' +
        'and a VJP.',
    ),
  drawnSteps: z
    .int()
    .min(0)
    .max(largestInt)
    .default(10)
    .describe('This many of the steps before the final ones enter the loss, drawn anew in each iteration.'),
  finalFraction: z
    .number()
    .min(0)
    .max(1)
    .default(0.25)
    .describe('The last steps, as a fraction of all, are always in the loss.'),
  cap: z
    .number()
    .gt(0)
    .optional()
    .describe(
      'A term of the loss (one sample at one step, mean over elements) that reaches this counts as the cap and ' +
        'gives no gradient. Left out, no term is capped.',
    ),
});

/** {@link AdjointMatchingOptions} with every default filled in. */
export interface AdjointMatchingSettings
  extends Filled<Omit<AdjointMatchingOptions, 'rolloutBatch' | 'decodeSlice' | 'cap'>>,
    Pick<AdjointMatchingOptions, 'rolloutBatch' | 'decodeSlice' | 'cap'> {
  /** The name says which algorithm these are of. */
  name: 'am';
}

/**
 * These options are what {@link refl}, {@link draft} and {@link alignProp} share: the rollout, through whose last steps
 * the reward is differentiated.
 */
export interface BackpropagationOptions extends AlgorithmOptions {
  /** The rollout solves the ODE dX = v(X, t) dt with this. @defaultValue 'euler' */
  solver?: SolverName | undefined;
  /**
   * The rollout's solver takes this many steps; Heun's and the midpoint rule evaluate twice a step. It is a whole
   * number, at least 1.
   * @defaultValue 20
   */
  steps?: number | undefined;
  /**
   * s spaces those steps: σ = s u/(1 + (s − 1) u), u equally spaced, σ = 1 − t. Left out, it is the model's own. It is
   * above 0.
   */
  shift?: number | undefined;
}

const backpropagationOptions = {
  ...algorithmOptions,
  solver: z.enum(solverNames).default('euler').describe('The rollout solves the ODE dX = v(X, t) dt with this.'),
  steps: z
    .int()
    .min(1)
    .max(largestInt)
    .default(20)
    .describe("The rollout's solver takes this many steps; Heun's and the midpoint rule evaluate twice a step."),
  shift: z
    .number()
    .gt(0)
    .optional()
    .describe(
      "s spaces those steps: σ = s u/(1 + (s − 1) u), u equally spaced, σ = 1 − t. Left out, it is the model's " +
        'own.',
    ),
};

/**
 * These options are those of {@link refl} (arXiv 2304.05977): the rollout stops before one of its last steps, at x of
 * time t, and the reward reads x + (1 − t) v(x, t), through which alone it is differentiated.
 */
export interface ReflOptions extends BackpropagationOptions {
  /**
   * The step is drawn anew in each iteration, uniformly from the last steps, which are this fraction of all. It is
   * above 0 and at most 1.
   * @defaultValue 0.25
   */
  finalFraction?: number | undefined;
}

export const reflOptionsSchema = z.strictObject({
  ...backpropagationOptions,
  finalFraction: z
    .number()
    .gt(0)
    .max(1)
    .default(0.25)
    .describe(
      'The step is drawn anew in each iteration, uniformly from the last steps, which are this fraction of all.',
    ),
});

/** {@link ReflOptions} with every default filled in. */
export interface ReflSettings
  extends Filled<Omit<ReflOptions, 'rolloutBatch' | 'decodeSlice' | 'shift'>>,
    Pick<ReflOptions, 'rolloutBatch' | 'decodeSlice' | 'shift'> {
  /** The name says which algorithm these are of. */
  name: 'refl';
}

/**
 * These options are those of {@link draft} (arXiv 2309.17400): the reward is differentiated through the last K steps of
 * the rollout.
 */
export interface DraftOptions extends BackpropagationOptions {
  /**
   * K is how many of the last steps are differentiated; the rollout's number of them is all. It is a whole number, at
   * least 1.
   * @defaultValue 1
   */
  lastSteps?: number | undefined;
  /**
   * n makes DRaFT-LV of DRaFT-1: n times the sample is noised to the start of the last step and the step taken again,
   * and the gradient is the mean over all n + 1 images. It needs `lastSteps` 1. It is a whole number, at least 0.
   * @defaultValue 0
   */
  renoisings?: number | undefined;
}

export const draftOptionsSchema = z.strictObject({
  ...backpropagationOptions,
  lastSteps: z
    .int()
    .min(1)
    .max(largestInt)
    .default(1)
    .describe("K is how many of the last steps are differentiated; the rollout's number of them is all."),
  renoisings: z
    .int()
    .min(0)
    .max(largestInt)
    .default(0)
    .describe(
      'n makes DRaFT-LV of DRaFT-1: n times the sample is noised to the start of the last step and the step ' +
        'taken again, and the gradient is the mean over all n + 1 images. It needs `lastSteps` 1.',
    ),
});

/** {@link DraftOptions} with every default filled in. */
export interface DraftSettings
  extends Filled<Omit<DraftOptions, 'rolloutBatch' | 'decodeSlice' | 'shift'>>,
    Pick<DraftOptions, 'rolloutBatch' | 'decodeSlice' | 'shift'> {
  /** The name says which algorithm these are of. */
  name: 'draft';
}

/**
 * These options are those of {@link alignProp} (arXiv 2310.03739): the reward is differentiated through the last K
 * steps of the rollout, K drawn anew in each iteration.
 */
export interface AlignPropOptions extends BackpropagationOptions {
  /** K is at least this. It is a whole number, at least 1. @defaultValue 1 */
  fewestSteps?: number | undefined;
  /** K is at most this; left out, it may be all the steps of the rollout. It is a whole number, at least 1. */
  mostSteps?: number | undefined;
}

export const alignPropOptionsSchema = z.strictObject({
  ...backpropagationOptions,
  fewestSteps: z.int().min(1).max(largestInt).default(1).describe('K is at least this.'),
  mostSteps: z
    .int()
    .min(1)
    .max(largestInt)
    .optional()
    .describe('K is at most this; left out, it may be all the steps of the rollout.'),
});

/** {@link AlignPropOptions} with every default filled in. */
export interface AlignPropSettings
  extends Filled<Omit<AlignPropOptions, 'rolloutBatch' | 'decodeSlice' | 'shift' | 'mostSteps'>>,
    Pick<AlignPropOptions, 'rolloutBatch' | 'decodeSlice' | 'shift' | 'mostSteps'> {
  /** The name says which algorithm these are of. */
  name: 'alignprop';
}

/**
 * These options are those of an AdamW update (arXiv 1711.05101) at the learning rate η, m ← β₁ m + (1 − β₁) g, v ← β₂ v
 * + (1 − β₂) g², p ← (1 − ηd) p − η m̂/(√v̂ + ε), and of the average of the weights that it moves.
 */
export interface AdamWOptions {
  /** β₁ and β₂ are the decays of the two moments. Each is at least 0 and below 1. @defaultValue [0.9, 0.99] */
  betas?: [number, number] | undefined;
  /** ε is added to the root of the second moment. It is above 0. @defaultValue 1e-8 */
  epsilon?: number | undefined;
  /** d shrinks the weights, decoupled from the gradient. It is at least 0. @defaultValue 0 */
  weightDecay?: number | undefined;
  /**
   * Weights are averaged with this decay, w̄ ← decay w̄ + (1 − decay) w; 0: they are not averaged. It is at least 0 and
   * below 1.
   * @defaultValue 0
   */
  emaDecay?: number | undefined;
}

export const adamWOptionsSchema = z.strictObject({
  betas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .default([0.9, 0.99])
    .describe('β₁ and β₂ are the decays of the two moments.'),
  epsilon: z.number().gt(0).default(1e-8).describe('ε is added to the root of the second moment.'),
  weightDecay: z.number().min(0).default(0).describe('d shrinks the weights, decoupled from the gradient.'),
  emaDecay: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe('Weights are averaged with this decay, w̄ ← decay w̄ + (1 − decay) w; 0: they are not averaged.'),
});

/** These options are those of a step of flow matching. */
export interface FlowMatchingOptions {
  /**
   * A sample is trained without its conditioning with this probability, for guidance. It is at least 0 and at most 1.
   * @defaultValue 0
   */
  dropout?: number | undefined;
  /** Times are drawn from this, stratified over the batch. @defaultValue 'uniform' */
  timeDistribution?: TimeDistribution | undefined;
  /**
   * Each sample is renoised and regressed on at this many times of one step, spread over their distribution. It is a
   * whole number, at least 1.
   * @defaultValue 1
   */
  timesEach?: number | undefined;
  /**
   * A network evaluation takes at most this many renoised samples; 0: all of them at once. The numbers are the same. It
   * is a whole number, at least 0.
   * @defaultValue 0
   */
  microBatch?: number | undefined;
}

/** These options say how a model's samples are drawn from noise. */
export interface SamplerOptions {
  /** This solves the ODE dX = v(X, t) dt. @defaultValue 'heun' */
  solver?: SolverName | undefined;
  /**
   * The solver goes through these times, at least two, strictly increasing; the samples are those of the last. Each is
   * at least 0 and at most 1.
   */
  times: readonly number[];
  /**
   * w is the classifier-free guidance v_uncond + w (v_cond − v_uncond); 1 stands for none, and only that needs no
   * unconditional conditioning. It is at least 0.
   * @defaultValue 1
   */
  guidance?: number | undefined;
  /** With `'pretrained'` the adapter is off. @defaultValue 'trained' */
  weights?: 'trained' | 'pretrained' | undefined;
  /**
   * A network evaluation takes at most this many rows, of which a guided sample has two; 0: all at once. It is a whole
   * number, at least 0.
   * @defaultValue 0
   */
  microBatch?: number | undefined;
}

/** These options are those of {@link philoxNormal}. */
export interface PhiloxNormalOptions {
  /** The generator has this key, in [0, 2⁶⁴). */
  seed: bigint;
  /**
   * One stream in [0, 2⁶⁴) numbers the elements of the whole tensor; several, one a sample, number each sample's own.
   */
  stream: bigint | readonly bigint[] | BigUint64Array;
  /** The result has this dtype. Left out, it is `'float32'`. */
  dtype?: DType | undefined;
  /** The result lies on this device. Left out, it is `'cpu'`. */
  device?: Device | undefined;
  /** This takes the result and is what the call returns: a tensor of the shape, dtype and device asked for. */
  out?: Tensor | undefined;
}

/** These options are those of {@link renoise}. */
export interface RenoiseOptions {
  /** X_1 is data, [B, …], or with `terminalTime` t* the endpoint Y = X_{t*}. */
  x1: Tensor;
  /** t is in [0, terminalTime], one entry a sample. */
  t: PerSample;
  /** ε is a tensor of the shape of a sample, or drawn on the fly. */
  noise: Noise;
  /**
   * t* is the time of `x1`: 1 for data, 1 − δ for the endpoint of a shortened rollout. It is above 0 and at most 1.
   * @defaultValue 1
   */
  terminalTime?: number | undefined;
  /** This takes the result and is what the call returns: like `x1`, which it may be; never part of an input. */
  out?: Tensor | undefined;
}

/** These options are those of {@link terminalGradient}. */
export interface TerminalGradientOptions {
  /** X is the endpoint, [B, …]. */
  x: Tensor;
  /** The pretrained velocity at (x, time) is [B, …]. */
  velocity: Tensor;
  /** ∇r is [B, …]. */
  rewardGrad: Tensor;
  /** λ says how strongly the reward tilts the model. */
  lambda: number;
  /** The score is taken at this time, 1 − δ; it divides by 1 − time. It is at least 0 and below 1. */
  time: number;
  /** This takes the result and is what the call returns: like `x`, which it may be; never part of an input. */
  out?: Tensor | undefined;
}

/** These options are those of {@link matchingLoss}. */
export interface MatchingLossOptions {
  /** v_θ(x_t, t) is [B, …]. */
  velocity: Tensor;
  /** X_1 or Y, [B, …], is what was given to {@link renoise}. */
  x1: Tensor;
  /** G, [B, …], is what {@link terminalGradient} gave. */
  terminalGradient: Tensor;
  /** t, in [0, terminalTime], is what was given to {@link renoise}. */
  t: PerSample;
  /**
   * C sets the variance κ = 2C − 1 of the base. It trades the target's two sources of variance and biases nothing. It
   * is above 0.5.
   */
  C: number;
  /** ε is what was given to {@link renoise}: it is drawn again. Either this or `x` is given. */
  noise?: Noise | undefined;
  /** x_t, [B, …], is what {@link renoise} gave: on a CPU, reading it costs less than drawing the noise again. */
  x?: Tensor | undefined;
  /** The weight w is 1 with `'velocity'` and min(2t/(1−t), cap) with `'adjoint_matching'`. @defaultValue 'velocity' */
  weighting?: 'velocity' | 'adjoint_matching' | undefined;
  /** The `adjoint_matching` weight never exceeds this. It is above 0. @defaultValue 20 */
  cap?: number | undefined;
  /** t* is what was given to {@link renoise}. It is above 0 and at most 1. @defaultValue 1 */
  terminalTime?: number | undefined;
  /** This takes the gradient and is returned as `grad`: like `velocity`, which it may be; never part of an input. */
  grad?: Tensor | undefined;
}

/** These options are those of {@link flowMatchingLoss}. */
export interface FlowMatchingLossOptions {
  /** v_θ(x_t, t) is [B, …]. */
  velocity: Tensor;
  /** X_1 is data, [B, …]. */
  x1: Tensor;
  /** ε is what was given to {@link renoise}. */
  noise: Noise;
  /** This takes the gradient and is returned as `grad`: like `velocity`, which it may be; never part of an input. */
  grad?: Tensor | undefined;
}

/** These options are those of {@link memorylessStep}. */
export interface MemorylessStepOptions {
  /** X_t is [B, …]. */
  x: Tensor;
  /** v_θ(x, t) is [B, …]. */
  velocity: Tensor;
  /** t is where the step begins, or ends for the adjoint. It is at least 0 and below 1. */
  t: number;
  /** h is the length of the step, with t + h ≤ 1. It is above 0. */
  h: number;
  /** ε is a tensor of the shape of a sample, or drawn on the fly. */
  noise: Noise;
  /** This takes the result and is what the call returns: like `x`, which it may be; never part of an input. */
  out?: Tensor | undefined;
}

/** These options are those of {@link leanAdjointStep}. */
export interface LeanAdjointStepOptions {
  /** a at t + h is [B, …]. */
  adjoint: Tensor;
  /** aᵀ ∂v_pre/∂x at (x_t, t) is [B, …]. */
  vjp: Tensor;
  /** t is where the step begins, or ends for the adjoint. It is at least 0 and below 1. */
  t: number;
  /** h is the length of the step, with t + h ≤ 1. It is above 0. */
  h: number;
  /** This takes the result and is what the call returns: like `adjoint`, which it may be; never part of an input. */
  out?: Tensor | undefined;
}
