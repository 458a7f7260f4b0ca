import { z } from 'zod';

import { judgeSchema } from '../../rewards/registry.js';
import { drawingSettings, seed } from '../../training/settings.js';

/** Before and after, measured on fresh samples from fixed seeds. */
export const evaluationSchema = z.strictObject({
  ...drawingSettings,
  /** Images of each model. */
  count: z.int().min(2).default(512),
  /** Their noise is drawn with this seed. */
  seed: seed.default(2),
  /** Reads the images for accuracy and diversity. */
  judge: judgeSchema.optional(),
});
