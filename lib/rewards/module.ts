import { existsSync } from 'node:fs';
import { parse, resolve } from 'node:path';

import { z } from 'zod';

import { Origin, setOrigin } from '../files/origin.js';
import { expected } from '../schema/validate.js';
import { importModule } from '../runtime/import-module.js';
import { checkText } from '../schema/options.js';
import { ConfigError, isError } from '../errors.js';
import {
  checkFunctionOptions,
  fromFunction,
  type FunctionOptions,
  type FunctionScore,
  type ImageArray,
} from './from-function.js';
import { checkFile, file as fileSchema, rewardKind, weight, wholeBatch } from './reward-kind.js';
import { describe, type Reward, type ScoreOptions } from './reward.js';

/**
 * What a module's default export may be, beside a Reward. `options` come from the configuration, `signal` ends the run.
 */
export type RewardFunction = (
  images: ImageArray,
  prompts: readonly string[],
  options: Readonly<Record<string, unknown>>,
  context: Pick<ScoreOptions, 'signal'>,
) => FunctionScore | Promise<FunctionScore>;

/**
 * The reward that a JavaScript module exports as its default: a Reward, or a function of the images, their prompts and
 * `options`. Runs the module's code.
 * @param settings of a function; a Reward says itself whether it has a gradient
 * @throws ConfigError for a file that is missing, fails to load or exports something else
 */
export async function moduleReward(
  file: string,
  options: Readonly<Record<string, unknown>> = {},
  settings: FunctionOptions = {},
): Promise<Reward> {
  checkText(file, 'file', 'moduleReward');
  checkFunctionOptions(settings, 'moduleReward settings');
  const path = resolve(file);
  const refuse = (problem: string, cause?: unknown) => new ConfigError(`moduleReward: ${path}: ${problem}`, { cause });
  if (!existsSync(path)) throw refuse('there is no such file');
  const origin = await Origin.of([path], { options });
  let exported: { default?: unknown };
  try {
    exported = await importModule(path);
  } catch (error) {
    throw refuse(`it cannot be loaded: ${isError(error) ? error.message : String(error)}`, error);
  }
  const reward = exported.default;
  if (typeof reward === 'function') {
    const made = fromFunction(
      parse(path).name,
      (images, prompts, context) => (reward as RewardFunction)(images, prompts, options, context),
      settings,
    );
    setOrigin(made, async () => origin);
    return made;
  }
  if (!isReward(reward)) {
    const names = Object.keys(exported)
      .filter((name) => name !== 'default')
      .sort();
    throw refuse(
      expected(
        'its default export',
        'a Reward (name and score) or a function, such as export default function (images, prompts) { … }',
        reward === undefined ? (names.length ? `none, only ${names.join(', ')}` : 'none') : describe(reward),
      ),
    );
  }
  if (Object.keys(options).length) {
    throw refuse(
      'its default export is a Reward, which takes no options; export a function of (images, prompts, options)',
    );
  }
  if (settings.differentiable === false && reward.differentiable !== false) {
    throw refuse('its default export is a Reward, which says itself that it has no gradient: differentiable: false');
  }
  if (settings.wholeBatch && !reward.wholeBatch) {
    throw refuse('its default export is a Reward, which says itself that it reads the whole batch: wholeBatch: true');
  }
  setOrigin(reward, async () => origin);
  return reward;
}

function isReward(value: unknown): value is Reward {
  const { name, score } = (value ?? {}) as Partial<Reward>;
  return typeof name === 'string' && typeof score === 'function';
}

export const moduleKind = rewardKind({
  schema: z.strictObject({
    name: z.literal('module').describe('The name says which reward.'),
    weight,
    file: fileSchema.describe('This JavaScript module exports the reward.'),
    options: z.record(z.string(), z.unknown()).default({}).describe('Its function is called with these options.'),
    differentiable: z.boolean().default(true).describe('False says that the function returns values alone.'),
    wholeBatch,
  }),
  create: ({ file, options, differentiable, wholeBatch }) =>
    moduleReward(file, options, { differentiable, wholeBatch }),
  wholeBatch: ({ wholeBatch }) => wholeBatch,
  differentiable: ({ differentiable }) => differentiable,
  async locate({ name, file }) {
    await checkFile(name, file);
    return undefined;
  },
});
