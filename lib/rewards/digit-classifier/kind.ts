import { join } from 'node:path';

import { z } from 'zod';

import { shippedDirectory } from '../../runtime/package.js';
import { classifierPretraining } from './pretraining.js';
import { digitClassifier, digitJudge, digitValues } from './digit-classifier.js';
import { directory, judgeKind, rewardKind, weight, type WeightsFile } from '../reward-kind.js';

const weightsIn = (folder: string): WeightsFile => ({ path: join(folder, 'model.safetensors'), dtype: 'float32' });

export const digitClassifierKind = rewardKind({
  schema: z.strictObject({
    name: z.literal('digit-classifier').describe('The name says which reward.'),
    weight,
    directory: directory.describe(
      "The classifier's folder is this; left out, it is the one that comes with the package.",
    ),
    value: z
      .enum(digitValues)
      .default('log-probability')
      .describe(
        "The value is the logarithm of the digit's probability, or a match: 1 for the right digit and 0 for any " +
          'other, without a gradient.',
      ),
  }),
  create: ({ directory, value }, device) => digitClassifier({ directory, value, device }),
  differentiable: ({ value }) => value !== 'match',
  locate: async (config) => [weightsIn(config.directory ?? shippedDirectory('digit-classifier'))],
  pretraining: classifierPretraining,
});

export const digitJudgeKind = judgeKind({
  schema: z.strictObject({
    name: z.literal('digit-judge').describe('The name says which judge.'),
    directory: directory.describe(
      "The classifier's folder is this; left out, it is the one that comes with the package.",
    ),
  }),
  create: (config, device) => digitJudge({ directory: config.directory, device }),
  locate: (config) => [weightsIn(config.directory ?? shippedDirectory('digit-judge'))],
});
