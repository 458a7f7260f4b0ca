import { z } from 'zod';

import { algorithmSchema } from '../algorithms.js';
import { judgeSchema, rewardSchema } from '../rewards/registry.js';
import { checkpointsSchema, optimizerSchema, samplesSchema, seed } from './common.js';
import { modelSettings } from './model.js';
import { promptsOrFileSchema } from './prompts.js';

/** Before and after, measured on fresh samples from fixed seeds. */
export const evaluationSchema = z.strictObject({
  count: z.int().min(2).default(512),
  steps: z.int().min(1).default(12),
  solver: samplesSchema.shape.solver,
  guidance: z.number().min(0).default(1),
  batch: samplesSchema.shape.batch,
  seed: seed.default(2),
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

export type FinetuneConfig = z.output<typeof finetuneSchema>;
