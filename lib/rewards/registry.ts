import { z } from 'zod';

import { combine } from './combine.js';
import { digitClassifier, digitJudge } from './digit-classifier.js';
import { moduleReward } from './module.js';
import type { ArrayReward, Judge, Reward } from './reward.js';
import { strokeWeight, strokeWeightOptionsSchema } from './stroke-weight.js';
import { torchScript } from './torchscript.js';

const weight = z.number().default(1);
const directory = z.string().min(1).optional();
const file = z.string().min(1);

/** What a configuration's `rewards` may hold; a new reward is one more entry here and in `createReward`. */
export const rewardSchema = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('digit-classifier'), weight, directory }),
  z.strictObject({ name: z.literal('stroke-weight'), weight, ...strokeWeightOptionsSchema.shape }),
  z.strictObject({ name: z.literal('torchscript'), weight, file }),
  z.strictObject({ name: z.literal('module'), weight, file, options: z.record(z.string(), z.unknown()).default({}) }),
]);

export type RewardConfig = z.output<typeof rewardSchema>;

async function createReward(config: RewardConfig, device: string): Promise<Reward> {
  switch (config.name) {
    case 'digit-classifier':
      return digitClassifier({ directory: config.directory, device });
    case 'stroke-weight':
      return strokeWeight({ scale: config.scale });
    case 'torchscript':
      return torchScript(config.file, { device });
    case 'module':
      return moduleReward(config.file, config.options);
  }
}

/** The weighted sum that a configuration's `rewards` describe. @throws ConfigError for one whose file does not fit */
export async function createRewards(configs: readonly RewardConfig[], device: string): Promise<ArrayReward> {
  return combine(await Promise.all(configs.map(async (config) => [await createReward(config, device), config.weight] as const)));
}

export const judgeSchema = z.discriminatedUnion('name', [z.strictObject({ name: z.literal('digit-judge'), directory })]);

export function createJudge(config: z.output<typeof judgeSchema>, device: string): Judge {
  return digitJudge({ directory: config.directory, device });
}
