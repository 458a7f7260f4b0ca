import { join } from 'node:path';

import { z } from 'zod';

import { shippedDirectory } from '../../runtime/package.js';
import { classifierPretraining } from './pretraining.js';
import { digitClassifier, digitJudge, digitValues } from './digit-classifier.js';
import { directory, judgeKind, rewardKind, weight, type WeightsFile } from '../reward-kind.js';

const weightsIn = (folder: string): WeightsFile => ({ path: join(folder, 'model.safetensors'), dtype: 'float32' });

export const digitClassifierKind = rewardKind({
  schema: z.strictObject({
    /** The name says which reward. */
    name: z.literal('digit-classifier'),
    /** What its value is multiplied by in the sum. */
    weight,
    /** The classifier's folder; left out: the one that comes with the package. */
    directory,
    /** The logarithm of the digit's probability, or 1 for the right digit and 0 for any other, without a gradient. */
    value: z.enum(digitValues).default('log-probability'),
  }),
  create: ({ directory, value }, device) => digitClassifier({ directory, value, device }),
  differentiable: ({ value }) => value !== 'match',
  locate: async (config) => [weightsIn(config.directory ?? shippedDirectory('digit-classifier'))],
  pretraining: classifierPretraining,
});

export const digitJudgeKind = judgeKind({
  schema: z.strictObject({
    /** The name says which judge. */
    name: z.literal('digit-judge'),
    /** The classifier's folder; left out: the one that comes with the package. */
    directory,
  }),
  create: (config, device) => digitJudge({ directory: config.directory, device }),
  locate: (config) => [weightsIn(config.directory ?? shippedDirectory('digit-judge'))],
});
