import { z } from 'zod';

import { validate } from './config/validate.js';
import type { Model } from './models/model.js';
import type { NativeAlgorithm } from './native/binding.js';
import { binding } from './native/index.js';
import type { SolverName } from './ode-solver.js';

/** A reward fine-tuning algorithm and its settings; the trainer runs any of them. */
export interface Algorithm {
  readonly name: string;
  /** Checked, with defaults filled in: what a run directory's config.json records. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Classifier-free guidance of the rollout; 1 asks for no unconditional evaluation. */
  readonly guidance: number;
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
  terminal: z.enum(['consistent', 'plugin']).default('consistent'),
  solver: z.enum(solverNames).default('heun'),
  /** Steps of the rollout's solver. */
  steps: z.int().min(1).default(8),
  /** Spaces those steps: σ = s u/(1 + (s − 1) u), u equally spaced, σ = 1 − t; default: the model's own. */
  shift: z.number().gt(0).optional(),
  /** M, renoised points a sample and iteration. */
  renoisings: z.int().min(1).default(4),
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

/** Of {@link eam}. */
export type EamOptions = z.input<typeof eamOptionsSchema>;

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

/** Of {@link adjointMatching}. */
export type AdjointMatchingOptions = z.input<typeof adjointMatchingOptionsSchema>;

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
  z.strictObject({ name: z.literal('eam'), ...eamOptionsSchema.shape }),
  z.strictObject({ name: z.literal('am'), ...adjointMatchingOptionsSchema.shape }),
]);

const factories = { eam, am: adjointMatching };

export function createAlgorithm({ name, ...options }: z.output<typeof algorithmSchema>): Algorithm {
  return (factories[name] as (options: object) => Algorithm)(options);
}
