import { z } from 'zod';

import { judgeSchema } from '../../rewards/registry.js';
import { called } from '../../schema/configuration.js';
import { drawingSettings, seed } from '../../training/settings.js';

/** Before and after, measured on fresh samples from fixed seeds. */
export const evaluationSchema = z
  .strictObject({
    ...drawingSettings,
    count: z.int().min(2).default(512).describe('Each model draws this many images.'),
    seed: seed.default(2).describe('Their noise is drawn from this seed.'),
    judge: judgeSchema.optional().describe('This judge reads the images for accuracy and diversity.'),
  })
  .meta(called('EvaluationConfig'));
