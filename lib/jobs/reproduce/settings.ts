import { isDeepStrictEqual } from 'node:util';

import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { solverNames } from '../../runtime/native/choices.generated.js';
import { applyOverrides } from '../../schema/json.js';
import { expected, validate } from '../../schema/validate.js';
import type { FinetuneConfig } from '../settings/config.generated.js';
import type { Recipe, RecipeSetting } from './recipe.js';
import type { Deviation, RecipeEvaluation } from './reproduction.js';

const evaluationSchema = z.strictObject({
  steps: z.int().min(1),
  solver: z.enum(solverNames),
  guidance: z.number().min(0),
  /** Images a prompt. */
  each: z.int().min(1),
  seed: z.int().min(0),
  batch: z.int().min(1).optional(),
});

/** A recipe's settings as they hold: those of a fine-tuning without what is found, and those of the evaluation. */
export interface HeldSettings {
  training: Omit<FinetuneConfig, 'model' | 'prompts' | 'rewards' | 'seed' | 'output'>;
  evaluation: RecipeEvaluation;
  /** All of them, each under the key that `--set` names. */
  value(key: string): unknown;
}

/** What has a flag of its own, or is the recipe's. */
const otherwise: Readonly<Record<string, string>> = {
  model: 'say it with --model',
  prompts: 'say it with --train-prompts and --prompts',
  rewards: 'the recipe says towards what is trained; --rewards says where the files are',
  seed: 'say with --seeds how many there are',
  output: 'say it with --output',
};

/**
 * A recipe's settings with some of them changed.
 * @param changes `key=value` as `--set` takes it
 * @throws ConfigError for a change of what has a flag of its own, and for an evaluation that is not valid
 */
export function settingsOf({ settings }: Recipe, changes: readonly string[]): HeldSettings {
  for (const change of changes) {
    const key = change.split(/[.=]/, 1)[0]!;
    const instead = Object.hasOwn(otherwise, key) ? otherwise[key] : undefined;
    if (instead !== undefined)
      throw new ConfigError(`${expected('--set', "one of the recipe's settings", key)}; ${instead}`);
  }
  const given = settings.map(({ set, value }) => `${set}=${JSON.stringify(value)}`);
  const all = applyOverrides({}, [...given, ...changes]) as Record<string, unknown>;
  const { evaluation, ...training } = all;
  return {
    training: training as HeldSettings['training'],
    evaluation: validate(z.strictObject({ evaluation: evaluationSchema }), { evaluation }, '--set').evaluation,
    value: (key) => key.split('.').reduce<unknown>((node, name) => (node as Record<string, unknown>)?.[name], all),
  };
}

/** A value in a table. */
export const valueText = (value: unknown): string =>
  typeof value === 'string' ? value || '""' : JSON.stringify(value);

/** The settings that are not as published: by the recipe itself, or because they were changed. */
export const deviationsOf = ({ settings }: Recipe, held: HeldSettings): Deviation[] =>
  settings.flatMap((setting) => {
    const published = publishedValue(setting);
    const here = held.value(setting.set);
    if (published === undefined || isDeepStrictEqual(here, published)) return [];
    const binding = setting.source !== undefined && !setting.method;
    return [{ what: setting.set, here: valueText(here), published: valueText(published), binding }];
  });

/** What the protocol has; undefined where it says nothing. */
export const publishedValue = ({ source, value, published }: RecipeSetting): unknown =>
  source === undefined ? published : value;
