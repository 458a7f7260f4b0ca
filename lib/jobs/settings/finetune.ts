import { z } from 'zod';

import { algorithmSchema } from '../../training/algorithms.js';
import type { Drawing } from '../../models/model.js';
import { rewardSchema } from '../../rewards/registry.js';
import { drawingOf } from '../../models/registry.js';
import { checkpointsSchema, optimizerSchema, samplesSchema, seed } from '../../training/settings.js';
import { evaluationSchema } from './evaluation.js';
import { modelSettings, withAdapter, withDrawing } from './model.js';
import { promptsOrFileSchema } from '../../schema/prompts.js';
import { validate } from '../../schema/validate.js';

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
 * Checks a configuration and fills in what it leaves out: with constants, and how samples are drawn with the model's
 * choice.
 * @param drawing the model's choice, for a model that is not there
 * @throws ConfigError for one that is not valid, CheckpointError where there is no such model
 */
export async function readFinetuneConfig(config: unknown, source: string, drawing?: Drawing) {
  const { samples, evaluation, ...settings } = validate(finetuneSchema, config, source);
  const own = drawing ?? (await drawingOf(settings.model));
  return {
    ...(await withAdapter(settings, drawing !== undefined)),
    samples: withDrawing(samples, own),
    ...(evaluation && { evaluation: withDrawing(evaluation, own) }),
  };
}

export type FinetuneConfig = Awaited<ReturnType<typeof readFinetuneConfig>>;
