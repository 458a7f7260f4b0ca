import { z } from 'zod';

import type { Model } from '../models/model.js';
import type { Reward } from '../rewards/reward.js';
import { promptsSchema } from '../schema/prompts.js';
import { objectWith, seed64 } from '../schema/options.js';
import { validate } from '../schema/validate.js';
import type { Algorithm } from './algorithm.js';
import { modelShape } from './sampler.js';
import { checkpointsSchema, optimizerSchema, type OptimizerOptions } from './settings.js';

/** What {@link TrainerOptions} say in numbers, and what else they hold. */
export const settingsSchema = z.strictObject({
  model: modelShape,
  reward: objectWith('a reward with name and score; combine makes one of several', 'name', 'score'),
  algorithm: objectWith('an algorithm, such as eam() gives', 'name', 'create'),
  prompts: promptsSchema,
  negativePrompt: z.string().optional(),
  optimizer: optimizerSchema,
  batch: z.int().min(1).default(32),
  seed: z.preprocess(
    (seed) => (typeof seed === 'number' && Number.isSafeInteger(seed) ? BigInt(seed) : (seed ?? 0n)),
    seed64,
  ),
  checkpoints: z
    .strictObject({
      directory: z.string().min(1),
      overwrite: z.boolean().default(false),
      ...checkpointsSchema.shape,
    })
    .optional(),
  endpointsDirectory: z.string().min(1).optional(),
  nonFinite: z
    .strictObject({ fraction: z.number().min(0).max(1).default(0.5), patience: z.int().min(1).default(5) })
    .prefault({}),
});

/** This is where and how often a {@link Trainer} writes checkpoints. */
export interface CheckpointOptions {
  /** Each is written aside and renamed to `step-N` in here: it is whole or not there. */
  directory: string;
  /** A checkpoint is written every so many steps, at least 1, and always at the end. @defaultValue 100 */
  every?: number | undefined;
  /** So many of the newest checkpoints are kept, at least 1. @defaultValue 2 */
  keep?: number | undefined;
  /**
   * True lets a run start anew where the directory holds checkpoints of an earlier one, which are removed when the
   * first of this run is written. A run that was resumed is never removed.
   * @defaultValue false
   */
  overwrite?: boolean | undefined;
}

/** These are the options of a {@link Trainer}. */
export interface TrainerOptions {
  /** The model, loaded with an adapter, which alone is trained; or one that trains its own parameters. */
  model: Model;
  /** Images are trained towards this reward; {@link combine} makes one of several. */
  reward: Reward;
  /** The prompts, drawn in a shuffled order, each once before any comes again. */
  prompts: readonly string[];
  /** What the rollout's guidance leads away from, where the model knows such prompts; default: no prompt. */
  negativePrompt?: string | undefined;
  /** The algorithm that trains: {@link eam} or {@link adjointMatching}. */
  algorithm: Algorithm;
  /** The settings of AdamW; only `learningRate` has no default. */
  optimizer: OptimizerOptions;
  /** A step draws this many samples; default 32. */
  batch?: number | undefined;
  /** The seed determines everything random; default 0. */
  seed?: number | bigint | undefined;
  /** Checkpoints are written as this says; without it nothing is written. */
  checkpoints?: CheckpointOptions | undefined;
  /**
   * With `endpoints: 'pretrained'`, the folder of files of endpoints, which runs with the same model, prompts and
   * rewards share; default: `endpoints` in the user's cache.
   */
  endpointsDirectory?: string | undefined;
  /**
   * The run stops with NonFiniteError after `patience` (5) steps in a row in which more than `fraction` (0.5) of the
   * samples were dropped or the update was skipped, because a reward, gradient or loss was not finite.
   */
  nonFinite?:
    | {
        /** The fraction is from 0 to 1. @defaultValue 0.5 */
        fraction?: number | undefined;
        /** How many steps in a row; at least 1. @defaultValue 5 */
        patience?: number | undefined;
      }
    | undefined;
}

export type TrainerSettings = z.output<typeof settingsSchema>;

/** @throws ConfigError for settings out of range, and unknown ones */
export const readTrainerSettings = (options: TrainerOptions): TrainerSettings =>
  validate(settingsSchema, options, 'trainer options');
