import { resolve } from 'node:path';

import type { FetchOptions } from '../hub/transfer.js';
import type { FinetuneConfig } from '../settings/config.generated.js';
import { findRewards, type FoundReward } from './found-rewards.js';
import type { Needs } from './needs.js';
import { findPrompts, nameOf, spreadOver, type PromptSet } from './prompt-set.js';
import type { PromptSource, Recipe } from './recipe.js';
import type { Deviation, RecipeEvaluation } from './reproduction.js';
import { runFolder } from './seed-run.js';
import { deviationsOf, settingsOf, type HeldSettings } from './settings.js';

/** These options say what a recipe is made with, where that is not what the recipe says. */
export interface WorkOptions {
  /** A model's directory, or its name on the hub; the default is the recipe's. */
  model?: string | undefined;
  /** A folder with a folder for each reward, by its name; the default is where `eam fetch` puts them. */
  rewards?: string | undefined;
  /** A file of the prompts of the evaluation; the default is the recipe's, from the hub. */
  prompts?: string | undefined;
  /** A file of the prompts of the training; likewise. */
  trainPrompts?: string | undefined;
  /** So many trainings are made, each with another seed; the default is the recipe's number. */
  seeds?: number | undefined;
  /** Settings of the recipe that are changed, as `key=value`. */
  set?: readonly string[] | undefined;
}

/** All that is known before anything is computed. */
export interface Work {
  held: HeldSettings;
  /** What the algorithm is called in tables. */
  method: string;
  evaluation: RecipeEvaluation;
  rewards: FoundReward[];
  prompts: { training: PromptSet; evaluation: PromptSet };
  seeds: number[];
  /** Images of a model in the evaluation. */
  count: number;
  configs: (FinetuneConfig & { output: string })[];
}

/**
 * Finds the files, and makes the configuration of each seed.
 * @param fetching fetches prompts that are not there; without it others stand in for them
 * @throws as `reproduce` does
 */
export async function prepared(
  recipe: Recipe,
  options: WorkOptions,
  output: string,
  fetching: FetchOptions | undefined,
): Promise<Work> {
  const held = settingsOf(recipe, options.set ?? []);
  const rewards = await findRewards(recipe, options.rewards && resolve(options.rewards));
  const find = (key: 'training' | 'evaluation', given: string | undefined, flag: string) =>
    findPrompts(recipe.prompts[key], given, flag, fetching);
  const prompts = {
    training: await find('training', options.trainPrompts, '--train-prompts'),
    evaluation: await find('evaluation', options.prompts, '--prompts'),
  };
  const { training, evaluation } = held;
  const method = String(held.value('algorithm.name')).toUpperCase();
  const drawn = training.steps * (training.batch ?? 1);
  const { first, count: usual } = recipe.seeds;
  const seeds = Array.from({ length: options.seeds ?? usual }, (_, at) => first + at);
  // A plan is of as many prompts as there will be.
  const placeholders = () => Array.from({ length: drawn }, (_, at) => `prompt ${at}`);
  const chosen = prompts.training.prompts ? spreadOver(prompts.training.prompts, drawn) : placeholders();
  const configs = seeds.map((seed) => ({
    ...training,
    model: options.model ?? recipe.model.name,
    prompts: chosen,
    rewards: [rewards[0]!.training] as FinetuneConfig['rewards'],
    seed,
    output: runFolder(output, seed),
  }));
  const there = prompts.evaluation.prompts?.length ?? recipe.prompts.evaluation.count ?? 1;
  return { held, method, evaluation, rewards, prompts, seeds, count: there * evaluation.each, configs };
}

/** All in which what is prepared is not the published protocol. */
export function allDeviations(
  recipe: Recipe,
  { held, rewards, prompts, configs }: Work,
  { otherModel }: Needs,
): Deviation[] {
  const numbers = ({ here, published }: { here: number; published: number }) => ({
    here: `a network of ${millions(here)}`,
    published: `one of about ${millions(published)}`,
    binding: true,
  });
  return [
    ...(otherModel ? [{ what: 'model', ...numbers(otherModel) }] : ofSameSize(recipe, configs[0]!.model as string)),
    ...rewards.flatMap(({ name, otherSize }) => (otherSize ? [{ what: `reward ${name}`, ...numbers(otherSize) }] : [])),
    ...promptDeviations('prompts of the training', recipe.prompts.training, prompts.training),
    ...promptDeviations('prompts of the evaluation', recipe.prompts.evaluation, prompts.evaluation),
    ...deviationsOf(recipe, held),
  ];
}

/** A model from elsewhere that may be the published one. */
const ofSameSize = ({ model }: Recipe, source: string): Deviation[] =>
  source === model.name
    ? []
    : [{ what: 'model', here: `${source}, of the same size`, published: model.name, binding: false }];

const millions = (count: number): string => `${Number((count / 1e6).toPrecision(3))} M numbers`;

function promptDeviations(what: string, source: PromptSource, { place, prompts, isGiven }: PromptSet): Deviation[] {
  const { count } = source;
  if (!isGiven && (count === undefined || prompts!.length === count)) return [];
  const published = count === undefined ? nameOf(source) : `${count} of ${nameOf(source)}`;
  return [{ what, here: `${prompts!.length} of ${place}`, published, binding: true }];
}
