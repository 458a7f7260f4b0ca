import { z } from 'zod';

import { combine } from './combine.js';
import { digitClassifier, digitJudge } from './digit-classifier.js';
import type { Judge, Reward } from './reward.js';
import { strokeWeight, strokeWeightOptionsSchema } from './stroke-weight.js';

const weight = z.number().default(1);
const directory = z.string().min(1).optional();

/** What a configuration's `rewards` may hold; a new reward is one more entry here and in `createReward`. */
export const rewardSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('digit-classifier'), weight, directory }),
  z.strictObject({ name: z.literal('stroke-weight'), weight, ...strokeWeightOptionsSchema.shape }),
]);

export type RewardConfig = z.output<typeof rewardSchema>;

function createReward(config: RewardConfig, device: string): Reward {
  switch (config.name) {
    case 'digit-classifier':
      return digitClassifier({ directory: config.directory, device });
    case 'stroke-weight':
      return strokeWeight({ scale: config.scale });
  }
}

/** The weighted sum that a configuration's `rewards` describe. */
export function createRewards(configs: readonly RewardConfig[], device: string): Reward {
  return combine(configs.map((config) => [createReward(config, device), config.weight] as const));
}

export const judgeSchema = z.discriminatedUnion('name', [z.strictObject({ name: z.literal('digit-judge'), directory })]);

export function createJudge(config: z.output<typeof judgeSchema>, device: string): Judge {
  return digitJudge({ directory: config.directory, device });
}
