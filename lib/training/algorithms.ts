import { z } from 'zod';

import type { Filled } from './settings.js';
import { validate } from '../schema/validate.js';
import type { Model } from '../models/model.js';
import type { NativeAlgorithm } from '../runtime/native/binding.js';
import { binding } from '../runtime/native/index.js';
import type { SolverName } from '../runtime/ode-solver.js';

/** A reward fine-tuning algorithm and its settings; the trainer runs any of them. */
export interface Algorithm {
  /** As configurations and messages name it: `'eam'` or `'am'`. */
  readonly name: string;
  /** Checked, with defaults filled in: what a run directory's config.json records. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Classifier-free guidance of the rollout; 1 asks for no unconditional evaluation. */
  readonly guidance: number;
  /** Its native side, for one model, whose time shift spaces the rollout's steps where the options do not. */
  create(model: Pick<Model, 'native' | 'timeShift'>): NativeAlgorithm;
}

export const solverNames = ['euler', 'heun', 'midpoint', 'dpmpp2m'] as const satisfies readonly SolverName[];

/** What every algorithm has. */
const common = {
  /** Strength of the tilt: the target is p_pre(x) exp(λ r(x)). */
  lambda: z.number().min(0).default(1),
  /** Of the rollout; the loss is that of the conditional velocity, unless the algorithm is told otherwise. */
  guidance: z.number().min(0).default(1),
  /** Samples a network evaluation; 0: the whole batch at once. */
  microBatch: z.int().min(0).default(0),
  /**
   * Where memory is short: images are decoded a second time for the reward's gradient, this many samples at once;
   * 0: once, and what the gradient needs of all of them is kept.
   */
  decodeSlice: z.int().min(0).default(0),
  /** Reward-gradient norms above this running quantile are clipped to it; 1: off. */
  rewardGradientQuantile: z.number().gt(0).max(1).default(1),
};

export const eamOptionsSchema = z.strictObject({
  ...common,
  /** Trades the variance of the flow-matching target against the target-score target's; biases nothing. */
  C: z.number().gt(0.5).default(1),
  /** The endpoint time is 1 − δ. */
  delta: z.number().gt(0).lt(1).default(0.1),
  /** Where the problem ends: at 1 − δ, or at 1 with the score of 1 − δ. */
  terminal: z.enum(['consistent', 'plugin']).default('consistent'),
  /** Of the rollout. */
  solver: z.enum(solverNames).default('heun'),
  /** Steps of the rollout's solver. */
  steps: z.int().min(1).default(8),
  /** Spaces those steps: σ = s u/(1 + (s − 1) u), u equally spaced, σ = 1 − t; default: the model's own. */
  shift: z.number().gt(0).optional(),
  /** M, renoised points a sample and iteration. */
  renoisings: z.int().min(1).default(4),
  /** Of the squared error. */
  weighting: z.enum(['velocity', 'adjoint_matching']).default('velocity'),
  /** Ceiling of the adjoint_matching weight 2t/(1−t). */
  cap: z.number().gt(0).default(20),
  /** Send the reward's gradient through the pretrained denoiser (one more VJP) instead of past it. */
  rewardThroughDenoiser: z.boolean().default(false),
  /**
   * With guidance: match the guided velocity, and take score and image from the pretrained model's, as the rollout does.
   * Twice the evaluations. Without it the conditional velocity is matched to the guided rollout.
   */
  guidedLoss: z.boolean().default(false),
});

/** What {@link eam} and {@link adjointMatching} share. */
export interface AlgorithmOptions {
  /** λ ≥ 0, the strength of the tilt: the target is p*(x) ∝ p_pre(x) e^{λ r(x)}. @defaultValue 1 */
  lambda?: number | undefined;
  /**
   * Classifier-free guidance w ≥ 0 of the rollout, v = v_uncond + w (v_cond − v_uncond); 1: none, and no unconditional
   * evaluation. The loss is that of the conditional velocity, unless the algorithm is told otherwise. @defaultValue 1
   */
  guidance?: number | undefined;
  /** Samples a network evaluation, ≥ 0; 0: the whole batch at once. The numbers are the same. @defaultValue 0 */
  microBatch?: number | undefined;
  /**
   * Where memory is short: images are decoded a second time for the reward's gradient, this many samples (≥ 0) at once;
   * 0: once, and what the gradient needs of all of them is kept. @defaultValue 0
   */
  decodeSlice?: number | undefined;
  /** Norms of ∇r above this running quantile, in (0, 1], are clipped to it; 1: off. @defaultValue 1 */
  rewardGradientQuantile?: number | undefined;
}

/**
 * Of {@link eam}, in the notation of arXiv 2605.11480 with t = 0 at noise and t = 1 at data. What is regressed on is
 * v̂ = [(2Ct − 1) x_t + (1 − t) X_1 + (1 − t) κ G] / Q, κ = 2C − 1, Q = 2Ct² − 2t + 1, G = λ∇r(X_1) + ∇log p_pre(X_1).
 */
export interface EamOptions extends AlgorithmOptions {
  /**
   * C > ½: v̂ weighs the flow-matching target by (1 − t)²/Q and the target-score target by t²κ/Q. It trades the variance of
   * one against the other's and biases nothing. @defaultValue 1
   */
  C?: number | undefined;
  /** δ in (0, 1): the terminal score is the pretrained one at time 1 − δ. @defaultValue 0.1 */
  delta?: number | undefined;
  /**
   * `'consistent'`: the whole problem ends at time 1 − δ, where its score is known: without a reward nothing moves, for every
   * δ. `'plugin'`: the rollout goes on to X_1 and the score of time 1 − δ is taken there, as in the paper; biased for δ > 0.
   * @defaultValue 'consistent'
   */
  terminal?: 'consistent' | 'plugin' | undefined;
  /** Of the rollout, the ODE dX = v(X, t) dt. @defaultValue 'heun' */
  solver?: SolverName | undefined;
  /** Steps of the rollout's solver, ≥ 1; Heun's and the midpoint rule evaluate twice a step. @defaultValue 8 */
  steps?: number | undefined;
  /** s > 0 spaces those steps: σ = s u/(1 + (s − 1) u), u equally spaced, σ = 1 − t; left out: the model's own. */
  shift?: number | undefined;
  /** M ≥ 1, renoised points a sample and iteration. @defaultValue 4 */
  renoisings?: number | undefined;
  /** Of the squared error: `'velocity'`: 1; `'adjoint_matching'`: min(2t/(1 − t), cap), as in Adjoint Matching. @defaultValue 'velocity' */
  weighting?: 'velocity' | 'adjoint_matching' | undefined;
  /** Ceiling > 0 of the `adjoint_matching` weight. @defaultValue 20 */
  cap?: number | undefined;
  /** Send the reward's gradient through the pretrained denoiser (one more VJP) instead of past it. @defaultValue false */
  rewardThroughDenoiser?: boolean | undefined;
  /**
   * With guidance: match the guided velocity, and take score and image from the pretrained model's, as the rollout does.
   * Twice the evaluations. Without it the conditional velocity is matched to the guided rollout. @defaultValue false
   */
  guidedLoss?: boolean | undefined;
}

/**
 * Efficient Adjoint Matching (arXiv 2605.11480): few-step deterministic rollouts, a closed-form regression target.
 * @throws ConfigError for an option outside its range or an unknown one
 */
export function eam(options: EamOptions = {}): Algorithm {
  const checked = validate(eamOptionsSchema, options, 'eam options');
  return {
    name: 'eam',
    options: checked,
    guidance: checked.guidance,
    create: ({ native, timeShift }) => new (binding().Eam)(native, { ...checked, shift: checked.shift ?? timeShift }),
  };
}

export const adjointMatchingOptionsSchema = z.strictObject({
  ...common,
  /** K, steps of the stochastic rollout; each costs a forward and, going back, a forward and a VJP. */
  steps: z.int().min(1).default(20),
  /** How many of the steps before the final ones enter the loss, drawn anew in each iteration. */
  drawnSteps: z.int().min(0).default(10),
  /** The last steps, as a fraction of all: always in the loss. */
  finalFraction: z.number().min(0).max(1).default(0.25),
  /** A term of the loss (one sample at one step, mean over elements) that reaches it gives no gradient; default: off. */
  cap: z.number().gt(0).optional(),
});

/**
 * Of {@link adjointMatching}, in the notation of arXiv 2409.08861: h = 1/K, σ² = 2(1 − t + h)/(t + h), the loss
 * Σ ‖(2/σ)(v_θ − v_pre) + σ a‖² over a subset of the K steps.
 */
export interface AdjointMatchingOptions extends AlgorithmOptions {
  /** K ≥ 1, steps of the stochastic rollout; each costs a forward and, going back, a forward and a VJP. @defaultValue 20 */
  steps?: number | undefined;
  /** How many (≥ 0) of the steps before the final ones enter the loss, drawn anew in each iteration. @defaultValue 10 */
  drawnSteps?: number | undefined;
  /** The last steps, as a fraction of all in [0, 1]: always in the loss. @defaultValue 0.25 */
  finalFraction?: number | undefined;
  /** A term of the loss (one sample at one step, mean over elements) that reaches it, > 0, gives no gradient; left out: off. */
  cap?: number | undefined;
}

/**
 * Adjoint Matching (arXiv 2409.08861), the baseline: memoryless stochastic rollouts of K steps, the lean adjoint
 * carried back through the pretrained model by K vector–Jacobian products.
 * @throws ConfigError for an option outside its range or an unknown one
 */
export function adjointMatching(options: AdjointMatchingOptions = {}): Algorithm {
  const checked = validate(adjointMatchingOptionsSchema, options, 'adjointMatching options');
  return {
    name: 'am',
    options: checked,
    guidance: checked.guidance,
    create: ({ native }) => new (binding().AdjointMatching)(native, checked),
  };
}

/** What a configuration's `algorithm` may be; a new algorithm is one more entry here and in `factories`. */
export const algorithmSchema = z.discriminatedUnion('name', [
  z.strictObject({
    /** Which algorithm. */
    name: z.literal('eam'),
    ...eamOptionsSchema.shape,
  }),
  z.strictObject({
    /** Which algorithm. */
    name: z.literal('am'),
    ...adjointMatchingOptionsSchema.shape,
  }),
]);

/** {@link EamOptions} with every default filled in. */
export interface EamSettings extends Filled<Omit<EamOptions, 'shift'>>, Pick<EamOptions, 'shift'> {
  /** Which algorithm these are of. */
  name: 'eam';
}

/** {@link AdjointMatchingOptions} with every default filled in. */
export interface AdjointMatchingSettings
  extends Filled<Omit<AdjointMatchingOptions, 'cap'>>,
    Pick<AdjointMatchingOptions, 'cap'> {
  /** Which algorithm these are of. */
  name: 'am';
}

/** What a configuration's `algorithm` becomes. */
export type AlgorithmSettings = EamSettings | AdjointMatchingSettings;

const factories = { eam, am: adjointMatching };

export function createAlgorithm({ name, ...options }: AlgorithmSettings): Algorithm {
  return (factories[name] as (options: object) => Algorithm)(options);
}
