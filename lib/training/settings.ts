import { z } from 'zod';

import { solverNames } from '../runtime/native/choices.generated.js';
import { adamWOptionsSchema, type AdamWOptions } from '../runtime/native/options.generated.js';
import { called } from '../schema/configuration.js';
import type { Filled } from '../schema/filled.js';

/** Every job's configuration may hold these. */

export const device = z
  .string()
  .regex(/^(auto|cpu|cuda(:\d+)?)$/, 'expected "auto", "cpu", "cuda" or "cuda:N"')
  .describe(
    'Everything is computed on this device: "cpu", "cuda" or "cuda:N"; with "auto" it is CUDA where there is one, ' +
      'else the CPU.',
  );

export const dtype = z.enum(['float32', 'float64', 'bfloat16', 'float16']).default('float32');

/** Up to 2⁵³ − 1, the largest whole number that JSON carries exactly. */
export const seed = z.int().min(0).default(0);

/** AdamW with a warmed-up and decaying learning rate, gradient clipping and weight averaging. */
export const optimizerSchema = z
  .strictObject({
    learningRate: z.number().gt(0).describe('η is the learning rate at its highest.'),
    ...adamWOptionsSchema.shape,
    clip: z.number().gt(0).default(1).describe('The norm of all gradients together is clipped to this.'),
    warmup: z.int().min(0).default(0).describe('The learning rate rises from 0 over this many first steps.'),
    schedule: z
      .enum(['constant', 'cosine'])
      .default('constant')
      .describe('The learning rate takes this course after the warm-up.'),
    floor: z.number().min(0).max(1).default(0).describe('A cosine ends at this fraction of learningRate.'),
  })
  .meta(called('OptimizerOptions'));

/**
 * These options are those of AdamW with a learning rate that rises and falls, gradient clipping and weight averaging.
 */
export interface OptimizerOptions extends AdamWOptions {
  /** η is the learning rate at its highest, above 0. */
  learningRate: number;
  /** The norm of all gradients together is clipped to it, > 0. @defaultValue 1 */
  clip?: number | undefined;
  /** In so many first steps the learning rate rises from 0; at least 0. @defaultValue 0 */
  warmup?: number | undefined;
  /** The course after the warm-up: `'constant'`, or half a `'cosine'` down to `floor`. @defaultValue 'constant' */
  schedule?: 'constant' | 'cosine' | undefined;
  /** A cosine ends at this fraction of learningRate, in [0, 1]. @defaultValue 0 */
  floor?: number | undefined;
}

/** These are {@link OptimizerOptions} with every default filled in. */
export type OptimizerSettings = Filled<OptimizerOptions>;

/** What the native optimizer is made with. */
export const adamWOptions = (settings: OptimizerSettings): AdamWOptions => adamWOptionsSchema.strip().parse(settings);

export const checkpointsSchema = z
  .strictObject({
    every: z.int().min(1).default(100).describe('A checkpoint is written every so many steps, and always at the end.'),
    keep: z.int().min(1).default(2).describe('So many of the newest checkpoints are kept.'),
  })
  .meta(called('CheckpointsConfig'));

const theModels = "the model's own";

/** Samples are drawn with these. @param whose the choice that holds for what is left out, in words */
export const drawnAs = (whose: string) => ({
  steps: z.int().min(1).optional().describe(`The solver takes this many steps; left out, ${whose} number.`),
  solver: z.enum(solverNames).optional().describe(`This solves the ODE from noise to data; left out, ${whose} does.`),
  guidance: z
    .number()
    .min(0)
    .optional()
    .describe(`Classifier-free guidance has this weight, and 1 stands for none; left out, it is ${whose}.`),
  batch: z.int().min(1).optional().describe(`So many images are drawn at a time; left out, ${theModels} number.`),
});

/** Samples are drawn with these; what is left out is the model's own choice, as of `eam sample`. */
export const drawingSettings = drawnAs(theModels);

/** These grids of samples are drawn, from the same noise each time. */
export const samplesSchema = z
  .strictObject({
    ...drawingSettings,
    every: z
      .int()
      .min(0)
      .default(0)
      .describe('A grid is drawn every so many steps; with 0 only before the first step and after the last.'),
    count: z.int().min(1).max(1024).default(40).describe('A grid has this many images.'),
    columns: z.int().min(1).default(10).describe('A row of the grid has this many images.'),
    seed: seed.default(1).describe('Their noise is drawn from this seed.'),
  })
  .meta(called('SamplesConfig'));
