import { z } from 'zod';

import { ConfigError } from '../errors.js';
import type { ModelDType } from '../models/model.js';
import type { Verifier } from '../models/verification/verification.js';
import { called } from '../schema/configuration.js';
import { jsonProblem, jsonWithoutSecrets, withoutSecrets } from '../schema/secrets.js';
import { validate } from '../schema/validate.js';
import { combine } from './combine.js';
import { judgeKinds, rewardKinds } from './kinds.js';
import { madeRewardKind, withMadeJudge, withMadeReward } from './made.js';
import type { HubFiles, JudgeKind, RewardKind, RewardSettings, WeightsFile } from './reward-kind.js';
import type { ArrayReward, Judge, Reward } from './reward.js';

type Schemas<Kinds extends readonly { schema: z.ZodType }[]> = {
  -readonly [Index in keyof Kinds]: Kinds[Index]['schema'];
};
const schemasOf = <Kinds extends readonly { schema: z.ZodType }[]>(kinds: Kinds): Schemas<Kinds> =>
  kinds.map(({ schema }) => schema) as unknown as Schemas<Kinds>;

const rewards = z.discriminatedUnion('name', schemasOf(rewardKinds)).meta(called('RewardConfig'));

/** What a configuration's `rewards` may hold. */
export const rewardSchema = z
  .preprocess(withMadeReward, rewards)
  .meta({ also: 'Reward | readonly [reward: Reward, weight: number]' }) as unknown as typeof rewards;
export type RewardConfig = z.output<typeof rewardSchema>;

const judges = z.discriminatedUnion('name', schemasOf(judgeKinds)).meta(called('JudgeConfig'));

/** What a configuration's `evaluation.judge` may hold. */
export const judgeSchema = z.preprocess(withMadeJudge, judges).meta({ also: 'Judge' }) as unknown as typeof judges;
export type JudgeConfig = z.output<typeof judgeSchema>;

const nameOf = ({ schema }: { schema: (typeof rewardKinds)[number]['schema'] }): string => schema.shape.name.value;

/** The rewards that a configuration can name, by those names. */
export const rewardNames: readonly string[] = rewardKinds.filter((kind) => kind !== madeRewardKind).map(nameOf);

/** The kind of a reward, which its own configuration goes with. */
const kindOf = (config: RewardConfig): RewardKind<z.ZodType<RewardConfig>> =>
  rewardKinds.find((kind) => nameOf(kind) === config.name) as unknown as RewardKind<z.ZodType<RewardConfig>>;

const judgeKindOf = (config: JudgeConfig): JudgeKind<z.ZodType<JudgeConfig>> =>
  judgeKinds.find(({ schema }) => schema.shape.name.value === config.name)! as unknown as JudgeKind<
    z.ZodType<JudgeConfig>
  >;

/** What a reward computes in, of those that a configuration can tell. */
export function dtypeOf(config: RewardConfig): ModelDType | undefined {
  const { schema } = rewardKinds.find((kind) => nameOf(kind) === config.name)!;
  return 'dtype' in schema.shape ? ((config as { dtype?: ModelDType }).dtype ?? 'float32') : undefined;
}

/** Whether a reward has a gradient, of those that a configuration can tell. */
export const isDifferentiable = (config: RewardConfig): boolean => kindOf(config).differentiable?.(config) ?? true;

/** Tells whether an image's value depends on the others of its batch, of those that a configuration can tell. */
export const readsWholeBatch = (config: RewardConfig): boolean => kindOf(config).wholeBatch?.(config) ?? false;

/**
 * The rewards that a configuration's `rewards` describe, with their weights. @throws EamError for one whose files do
 * not fit
 */
export function createRewardList(
  configs: readonly RewardConfig[],
  device: string,
  settings: RewardSettings = {},
): Promise<(readonly [Reward, number])[]> {
  return Promise.all(
    configs.map(async (config) => [await kindOf(config).create(config, device, settings), config.weight] as const),
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

/** About how many numbers are loaded of a published reward's files; undefined for one that is none. */
export const publishedParameters = (config: RewardConfig): number | undefined => kindOf(config).parameters;

/** The rewards whose files `eam fetch` gets from the hub, by name. */
export const fetchedRewards: ReadonlyMap<string, readonly HubFiles[]> = new Map(
  rewardKinds.flatMap((kind) => (kind.published ? [[nameOf(kind), kind.published] as const] : [])),
);

/** The files that a reward's weights are loaded from: see {@link RewardKind.locate}. */
export const locateReward = (config: RewardConfig): Promise<WeightsFile[] | undefined> => kindOf(config).locate(config);

/** What compares a directory of this reward with its goldens. @throws ConfigError for a reward without one */
export function rewardVerifier(name: string): Verifier {
  const verifiable = rewardKinds.filter(({ verify }) => verify);
  const verify = verifiable.find((kind) => nameOf(kind) === name)?.verify;
  if (verify) return verify;
  throw new ConfigError(`no reward "${name}" can be verified; those that can be: ${verifiable.map(nameOf).join(', ')}`);
}

export const createJudge = (config: JudgeConfig, device: string): Judge => judgeKindOf(config).create(config, device);

/** The files that a judge's weights are loaded from. */
export const locateJudge = (config: JudgeConfig): WeightsFile[] => judgeKindOf(config).locate(config);

/**
 * A reward as a command line names it: `pickscore=DIRECTORY`, with further settings after commas, or JSON.
 * @throws ConfigError for one that a configuration could not hold either
 */
export function parseReward(text: string): RewardConfig {
  const source = `--reward ${withoutSecrets(text)}`;
  if (text.startsWith('{')) {
    const json = parseJson(text, source);
    return validate(rewardSchema, json, `--reward ${jsonWithoutSecrets(json)}`);
  }
  const [[name = '', place], ...settings] = text.split(',').map((part) => part.split(/=(.*)/s, 2)) as [
    string[],
    ...string[][],
  ];
  const kind = rewardKinds.find((each) => nameOf(each) === name);
  const key = ['file', 'url'].find((each) => kind && each in kind.schema.shape) ?? 'directory';
  const values = settings.map(([setting = '', value = '']) => [setting, parseSetting(value)]);
  return validate(
    rewardSchema,
    { name, ...(place !== undefined && { [key]: place }), ...Object.fromEntries(values) },
    source,
  );
}

function parseSetting(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  return text !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ConfigError(`${source}: ${jsonProblem(error)}`);
  }
}
