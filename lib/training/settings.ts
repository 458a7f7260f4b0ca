import { z } from 'zod';

import { solverNames } from './algorithms.js';

/** What every job's configuration may hold. */

/** Options after their defaults were filled in: none is left out. */
export type Filled<Options> = { [Name in keyof Options]-?: Exclude<Options[Name], undefined> };

export const device = z
  .string()
  .regex(/^(cpu|cuda(:\d+)?)$/, 'expected "cpu", "cuda" or "cuda:N"')
  .default('cpu');

export const dtype = z.enum(['float32', 'float64', 'bfloat16', 'float16']).default('float32');

/** Up to 2⁵³ − 1, the largest whole number that JSON carries exactly. */
export const seed = z.int().min(0).default(0);

/** AdamW with a warmed-up and decaying learning rate, gradient clipping and weight averaging. */
export const optimizerSchema = z.strictObject({
  /** At its highest. */
  learningRate: z.number().gt(0),
  /** β₁ and β₂ of the two moments. */
  betas: z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]).default([0.9, 0.99]),
  /** Added to the root of the second moment. */
  epsilon: z.number().gt(0).default(1e-8),
  /** Decoupled from the gradient. */
  weightDecay: z.number().min(0).default(0),
  /** The gradient's norm is clipped to it. */
  clip: z.number().gt(0).default(1),
  /** Weights are averaged with this decay; 0: not averaged. */
  emaDecay: z.number().min(0).lt(1).default(0),
  /** Steps in which the learning rate rises from 0. */
  warmup: z.int().min(0).default(0),
  /** Of the learning rate, after the warm-up. */
  schedule: z.enum(['constant', 'cosine']).default('constant'),
  /** Where a cosine ends, as a fraction of learningRate. */
  floor: z.number().min(0).max(1).default(0),
});

/**
 * AdamW (arXiv 1711.05101), m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², p ← (1 − ηd) p − η m̂/(√v̂ + ε), with a learning
 * rate η that rises and falls, gradient clipping and weight averaging.
 */
export interface OptimizerOptions {
  /** η > 0 at its highest. */
  learningRate: number;
  /** β₁ and β₂, each in [0, 1). @defaultValue [0.9, 0.99] */
  betas?: [number, number] | undefined;
  /** ε > 0. @defaultValue 1e-8 */
  epsilon?: number | undefined;
  /** d ≥ 0, decoupled from the gradient. @defaultValue 0 */
  weightDecay?: number | undefined;
  /** The norm of all gradients together is clipped to it, > 0. @defaultValue 1 */
  clip?: number | undefined;
  /** Weights are averaged with this decay in [0, 1), w̄ ← decay w̄ + (1 − decay) w; 0: not averaged. @defaultValue 0 */
  emaDecay?: number | undefined;
  /** Steps in which the learning rate rises from 0, ≥ 0. @defaultValue 0 */
  warmup?: number | undefined;
  /** After the warm-up: `'constant'`, or half a `'cosine'` down to `floor`. @defaultValue 'constant' */
  schedule?: 'constant' | 'cosine' | undefined;
  /** Where a cosine ends, as a fraction of learningRate in [0, 1]. @defaultValue 0 */
  floor?: number | undefined;
}

/** {@link OptimizerOptions} with every default filled in. */
export type OptimizerSettings = Filled<OptimizerOptions>;

export const checkpointsSchema = z.strictObject({
  /** Steps between checkpoints; one is always written at the end. */
  every: z.int().min(1).default(100),
  /** How many of the newest are kept. */
  keep: z.int().min(1).default(2),
});

/** How samples are drawn; what is left out is the model's own choice, as of `eam sample`. */
export const drawingSettings = {
  /** Of the solver. */
  steps: z.int().min(1).optional(),
  /** Of the ODE from noise to data. */
  solver: z.enum(solverNames).optional(),
  /** Classifier-free guidance; 1: none. */
  guidance: z.number().min(0).optional(),
  /** Images drawn at a time. */
  batch: z.int().min(1).optional(),
};

/** Grids of samples, drawn from the same noise each time. */
export const samplesSchema = z.strictObject({
  ...drawingSettings,
  /** Steps between grids; 0: only before the first step and after the last. */
  every: z.int().min(0).default(0),
  /** Images in a grid. */
  count: z.int().min(1).max(1024).default(40),
  /** Images in a row of it. */
  columns: z.int().min(1).default(10),
  /** Of their noise. */
  seed: seed.default(1),
});
