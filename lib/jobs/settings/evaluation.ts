import { z } from 'zod';

import { judgeSchema, rewardSchema } from '../../rewards/registry.js';
import { called } from '../../schema/configuration.js';
import { drawingSettings, seed } from '../../training/settings.js';

const settings = {
  ...drawingSettings,
  count: z.int().min(2).default(512).describe('Each model draws this many images.'),
  seed: seed.default(2).describe('Their noise is drawn from this seed.'),
  examples: z
    .strictObject({
      each: z
        .int()
        .min(0)
        .max(100)
        .default(3)
        .describe('So many best and so many worst images by each reward are kept; 0 keeps none.'),
      prompts: z
        .int()
        .min(0)
        .max(1000)
        .default(10)
        .describe('The best and the worst image of the first so many prompts are kept; 0 keeps none.'),
    })
    .prefault({})
    .describe('Images of samples are kept as this says, before and after from the same noise.'),
  judge: judgeSchema
    .optional()
    .describe('This judge reads the images for accuracy and diversity; left out, neither is measured.'),
};

/** Before and after, measured on fresh samples from fixed seeds. */
export const evaluationSchema = z.strictObject(settings);

/** The evaluation of a fine-tuning, whose run watches rewards that it is not trained towards. */
export const watchingEvaluationSchema = z
  .strictObject({
    ...settings,
    rewards: z
      .array(rewardSchema)
      .prefault([])
      .describe('These rewards are only watched: they score images, with the panel and at the end, and train nothing.'),
  })
  .meta(called('EvaluationConfig'));
