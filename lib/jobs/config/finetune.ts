import { z } from 'zod';

import { algorithmSchema } from '../../training/algorithms.js';
import { judgeSchema, rewardSchema } from '../../rewards/registry.js';
import { drawingOf } from '../../models/registry.js';
import { checkpointsSchema, drawingSettings, optimizerSchema, samplesSchema, seed } from '../../training/settings.js';
import { modelSettings, withDrawing } from './model.js';
import { promptsOrFileSchema } from '../../schema/prompts.js';
import { validate } from '../../schema/validate.js';

/** Before and after, measured on fresh samples from fixed seeds. */
export const evaluationSchema = z.strictObject({
  ...drawingSettings,
  /** Images of each model. */
  count: z.int().min(2).default(512),
  /** Of their noise. */
  seed: seed.default(2),
  /** Reads the images for accuracy and diversity. */
  judge: judgeSchema.optional(),
});

/** `eam finetune`'s configuration. */
export const finetuneSchema = z.strictObject({
  ...modelSettings,
  /** A list, or a file of them. */
  prompts: promptsOrFileSchema,
  rewards: z.array(rewardSchema).min(1),
  algorithm: algorithmSchema,
  optimizer: optimizerSchema,
  steps: z.int().min(1),
  batch: z.int().min(1).default(32),
  seed,
  checkpoints: checkpointsSchema.prefault({}),
  samples: samplesSchema.prefault({}),
  /** Left out: no evaluation at the end. */
  evaluation: evaluationSchema.optional(),
  output: z.string().min(1).default('runs/finetune'),
});

/**
 * Checks a configuration and fills in what it leaves out: with constants, and how samples are drawn with the model's choice.
 * @throws ConfigError for one that is not valid, CheckpointError where there is no such model
 */
export async function readFinetuneConfig(config: unknown, source: string) {
  const { samples, evaluation, ...settings } = validate(finetuneSchema, config, source);
  const own = await drawingOf(settings.model);
  return {
    ...settings,
    samples: withDrawing(samples, own),
    ...(evaluation && { evaluation: withDrawing(evaluation, own) }),
  };
}

export type FinetuneConfig = Awaited<ReturnType<typeof readFinetuneConfig>>;
