import { z } from 'zod';

import { solverNames } from '../algorithms.js';

/** What every job's configuration may hold. */

export const device = z.string().regex(/^(cpu|cuda(:\d+)?)$/, 'expected "cpu", "cuda" or "cuda:N"').default('cpu');

export const dtype = z.enum(['float32', 'float64', 'bfloat16', 'float16']).default('float32');

/** Up to 2⁵³ − 1, the largest whole number that JSON carries exactly. */
export const seed = z.int().min(0).default(0);

/** AdamW with a warmed-up and decaying learning rate, gradient clipping and weight averaging. */
export const optimizerSchema = z.strictObject({
  learningRate: z.number().gt(0),
  betas: z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]).default([0.9, 0.99]),
  epsilon: z.number().gt(0).default(1e-8),
  weightDecay: z.number().min(0).default(0),
  /** The gradient's norm is clipped to it. */
  clip: z.number().gt(0).default(1),
  /** Weights are averaged with this decay; 0: not averaged. */
  emaDecay: z.number().min(0).lt(1).default(0),
  /** Steps in which the learning rate rises from 0. */
  warmup: z.int().min(0).default(0),
  schedule: z.enum(['constant', 'cosine']).default('constant'),
  /** Where a cosine ends, as a fraction of learningRate. */
  floor: z.number().min(0).max(1).default(0),
});

export type OptimizerSettings = z.output<typeof optimizerSchema>;

export const checkpointsSchema = z.strictObject({
  /** Steps between checkpoints; one is always written at the end. */
  every: z.int().min(1).default(100),
  /** How many of the newest are kept. */
  keep: z.int().min(1).default(2),
});

/** How samples are drawn; what is left out is the model's own choice, as of `eam sample`. */
export const drawingSettings = {
  steps: z.int().min(1).optional(),
  solver: z.enum(solverNames).optional(),
  guidance: z.number().min(0).optional(),
  /** Images drawn at a time. */
  batch: z.int().min(1).optional(),
};

/** Grids of samples, drawn from the same noise each time. */
export const samplesSchema = z.strictObject({
  ...drawingSettings,
  /** Steps between grids; 0: only before the first step and after the last. */
  every: z.int().min(0).default(0),
  count: z.int().min(1).max(1024).default(40),
  columns: z.int().min(1).default(10),
  seed: seed.default(1),
});
