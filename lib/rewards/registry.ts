import { z } from 'zod';

import { validate } from '../schema/validate.js';
import { ConfigError } from '../errors.js';
import type { ModelDType } from '../models/model.js';
import { combine } from './combine.js';
import { digitClassifier, digitJudge } from './digit-classifier.js';
import { moduleReward } from './module.js';
import { aesthetic } from './published/aesthetic.js';
import { clipScore } from './published/clip-score.js';
import { hpsv2 } from './published/hps.js';
import { imageReward } from './published/image-reward.js';
import { pickScore } from './published/pick-score.js';
import type { PublishedReward, PublishedRewardOptions } from './published/published-reward.js';
import type { ArrayReward, Judge, Reward } from './reward.js';
import { strokeWeight, strokeWeightOptionsSchema } from './stroke-weight.js';
import { torchScript } from './torchscript.js';

const weight = z.number().default(1);
const directory = z.string().min(1).optional();
const file = z.string().min(1);

/** Of every reward that is read from the files its authors published. */
const published = {
  /** What its value is multiplied by in the sum. */
  weight,
  /** Where its published files are. */
  directory: file,
  /** What its towers compute in. */
  dtype: z.enum(['float32', 'float64', 'bfloat16', 'float16']).optional(),
  /** Images that are scored at a time; 0: all of a batch. */
  slice: z.int().min(0).optional(),
};

/** What a configuration's `rewards` may hold; a new reward is one more entry here and in `createReward`. */
export const rewardSchema = z.discriminatedUnion('name', [
  z.strictObject({
    /** Which reward. */
    name: z.literal('digit-classifier'),
    /** What its value is multiplied by in the sum. */
    weight,
    /** The classifier's folder; left out: the one that comes with the package. */
    directory,
  }),
  z.strictObject({
    /** Which reward. */
    name: z.literal('stroke-weight'),
    /** What its value is multiplied by in the sum. */
    weight,
    ...strokeWeightOptionsSchema.shape,
  }),
  z.strictObject({
    /** Which reward. */
    name: z.literal('torchscript'),
    /** What its value is multiplied by in the sum. */
    weight,
    /** A module that torch.jit.save wrote. */
    file,
  }),
  z.strictObject({
    /** Which reward. */
    name: z.literal('pickscore'),
    ...published,
  }),
  z.strictObject({
    /** Which reward. */
    name: z.literal('clipscore'),
    ...published,
  }),
  z.strictObject({
    /** Which reward. */
    name: z.literal('hpsv2'),
    ...published,
    /** The folder of its text encoder's vocabulary; left out: `directory`. */
    tokenizer: directory,
  }),
  z.strictObject({
    /** Which reward. */
    name: z.literal('imagereward'),
    ...published,
    /** The folder of its text encoder's vocabulary; left out: `directory`. */
    tokenizer: directory,
  }),
  z.strictObject({
    /** Which reward. */
    name: z.literal('aesthetic'),
    ...published,
    /** The folder of the CLIP model whose features it reads; left out: `directory`. */
    tower: directory,
  }),
  z.strictObject({
    /** Which reward. */
    name: z.literal('module'),
    /** What its value is multiplied by in the sum. */
    weight,
    /** A JavaScript module that exports the reward. */
    file,
    /** What its function is called with. */
    options: z.record(z.string(), z.unknown()).default({}),
  }),
]);

export type RewardConfig = z.output<typeof rewardSchema>;

/** How published rewards are made, whatever the configuration says of them. */
export type RewardSettings = Pick<PublishedRewardOptions, 'asReference' | 'onNote'>;

async function createReward(config: RewardConfig, device: string, settings: RewardSettings): Promise<Reward> {
  switch (config.name) {
    case 'digit-classifier':
      return digitClassifier({ directory: config.directory, device });
    case 'stroke-weight':
      return strokeWeight({ scale: config.scale });
    case 'torchscript':
      return torchScript(config.file, { device });
    case 'module':
      return moduleReward(config.file, config.options);
    case 'pickscore':
      return loaded(pickScore(config.directory, { ...config, ...settings, device }));
    case 'clipscore':
      return loaded(clipScore(config.directory, { ...config, ...settings, device }));
    case 'hpsv2':
      return loaded(hpsv2(config.directory, { ...config, ...settings, device }));
    case 'imagereward':
      return loaded(imageReward(config.directory, { ...config, ...settings, device }));
    case 'aesthetic':
      return loaded(aesthetic(config.directory, { ...config, ...settings, device }));
  }
}

/** What a reward computes in, of those that a configuration can tell. */
export function dtypeOf(config: RewardConfig): ModelDType | undefined {
  const schema = rewardSchema.options.find(({ shape }) => shape.name.value === config.name)!;
  return 'dtype' in schema.shape ? ((config as { dtype?: ModelDType }).dtype ?? 'float32') : undefined;
}

/** A job is told of a directory that does not fit before it starts. */
async function loaded(reward: PublishedReward): Promise<PublishedReward> {
  await reward.load();
  return reward;
}

/** The rewards that a configuration's `rewards` describe, with their weights. @throws EamError for one whose files do not fit */
export function createRewardList(
  configs: readonly RewardConfig[],
  device: string,
  settings: RewardSettings = {},
): Promise<[Reward, number][]> {
  return Promise.all(
    configs.map(async (config) => [await createReward(config, device, settings), config.weight] as [Reward, number]),
  );
}

/** Their weighted sum. @throws EamError for one whose files do not fit */
export async function createRewards(
  configs: readonly RewardConfig[],
  device: string,
  settings: RewardSettings = {},
): Promise<ArrayReward> {
  return combine(await createRewardList(configs, device, settings));
}

/**
 * A reward as a command line names it: `pickscore=DIRECTORY`, with further settings after commas, or JSON.
 * @throws ConfigError for one that a configuration could not hold either
 */
export function parseReward(text: string): RewardConfig {
  const source = `--reward ${text}`;
  if (text.startsWith('{')) return validate(rewardSchema, parseJson(text, source), source);
  const [[name = '', place], ...settings] = text.split(',').map((part) => part.split(/=(.*)/s, 2)) as [
    string[],
    ...string[][],
  ];
  const schema = rewardSchema.options.find(({ shape }) => shape.name.value === name);
  const key = schema && 'file' in schema.shape ? 'file' : 'directory';
  const values = settings.map(([setting = '', value = '']) => [
    setting,
    value !== '' && Number.isFinite(Number(value)) ? Number(value) : value,
  ]);
  return validate(
    rewardSchema,
    { name, ...(place !== undefined && { [key]: place }), ...Object.fromEntries(values) },
    source,
  );
}

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ConfigError(`${source}: ${(error as Error).message}`, { cause: error });
  }
}

export const judgeSchema = z.discriminatedUnion('name', [
  z.strictObject({
    /** Which judge. */
    name: z.literal('digit-judge'),
    /** The classifier's folder; left out: the one that comes with the package. */
    directory,
  }),
]);

export type JudgeConfig = z.output<typeof judgeSchema>;

export function createJudge(config: JudgeConfig, device: string): Judge {
  return digitJudge({ directory: config.directory, device });
}
