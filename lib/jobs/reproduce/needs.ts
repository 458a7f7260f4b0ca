import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { parseHubName, placeOf } from '../../files/hub-cache.js';
import { namesModel } from '../../models/registry.js';
import type { DiskUse } from '../plan/disk.js';
import { plan, needed, type Plan } from '../plan/plan.js';
import type { FinetuneConfig } from '../settings/config.generated.js';
import type { FoundReward } from './found-rewards.js';
import type { PromptSet } from './prompt-set.js';
import type { Recipe } from './recipe.js';
import type { RecipeEvaluation } from './reproduction.js';

/** This is something that has to be there, or is fetched. */
export interface NeededFile {
  /** What it is. */
  what: string;
  /** Where it is, or is to be. */
  place: string;
  /** How many bytes it has; of what is missing about those of the published files; left out where nobody knows. */
  bytes?: number | undefined;
  /** It says whether it is there. */
  state: 'there' | 'missing' | 'fetched when the recipe runs';
  /** The command that gets it, where it is missing. */
  command?: string | undefined;
  /** What is wrong with it, likewise. */
  problem?: string | undefined;
}

/** These are the hours of a recipe on one card. */
export interface CardHours {
  /** What the card is called, such as `H100 SXM`. */
  name: string;
  /** It says whether it has the memory that is needed, with all rewards of the evaluation counted in training, too. */
  fits: boolean;
  /** It says whether such a network was measured on it; else the hours are estimated. */
  measured: boolean;
  /** The hours of all trainings. */
  training: number;
  /** The hours of the evaluation's drawing. */
  evaluation: number;
}

/** This is what a recipe needs. */
export interface Needs {
  /** The model, the rewards and the prompts. */
  files: NeededFile[];
  /** The device's memory in bytes; undefined where it is not planned. */
  memory:
    | {
        /** How much training takes at its peak. */
        training: number;
        /** What training does there: it completes "while …". */
        peak: string;
        /** How much the evaluation takes, with all rewards. */
        evaluation: number;
      }
    | undefined;
  /** The device that is configured. */
  device: string;
  /** The hours on known GPUs; none of a CPU. */
  cards: CardHours[];
  /** What is written, beside images and figures. */
  disk: DiskUse[];
  /** How many images are drawn. */
  images: {
    /** How many all trainings draw. */
    training: number;
    /** How many the evaluation draws, of all models. */
    evaluation: number;
  };
  /** How many numbers the model's network has, where it is of another size than the published one. */
  otherModel:
    | {
        /** How many it has here. */
        here: number;
        /** How many the published one has. */
        published: number;
      }
    | undefined;
}

/** What needs are told of. */
export interface Wanted {
  recipe: Recipe;
  /** The configuration of the first seed. */
  config: FinetuneConfig;
  evaluation: RecipeEvaluation;
  rewards: readonly FoundReward[];
  prompts: { training: PromptSet; evaluation: PromptSet };
  seeds: number;
  /** Images of a model in the evaluation. */
  count: number;
}

/** Finds out what a recipe needs. @throws EamError for settings that are not valid, and weights that are cut short */
export async function needsOf(wanted: Wanted): Promise<Needs> {
  const { recipe, config, evaluation, rewards, prompts, seeds, count } = wanted;
  const source = config.model as string;
  const model = await modelFile(recipe, source);
  const files = [
    model,
    ...rewards.map(rewardFile),
    promptFile('prompts of the training', prompts.training),
    promptFile('prompts of the evaluation', prompts.evaluation),
  ];
  const isWhole = files.every(({ state }) => state !== 'missing');
  const published = isWhole ? {} : { like: recipe.model.like };
  const { steps, solver, guidance, batch } = evaluation;
  const others = rewards.slice(1).map(({ config: reward }) => reward);
  const training = await plan(config, published);
  const drawn = { count: Math.max(2, count), steps, solver, guidance, batch, rewards: others };
  const { networks = [], encoders = [] } = training.memory ?? {};
  model.bytes ??= [...networks, ...encoders].reduce((sum, { bytes }) => sum + bytes, 0) || undefined;
  const both = await plan({ ...config, evaluation: drawn } as FinetuneConfig, published);
  const like = isWhole ? await plan(config, { like: recipe.model.like }) : undefined;
  return {
    files,
    device: training.device,
    memory: memoryOf(training, both),
    cards: training.cards.map(({ name, measured, hours }, at) => {
      const { fits, hours: more } = both.cards[at]!;
      const image = (more - hours) / (2 * drawn.count);
      return { name, fits, measured, training: seeds * hours, evaluation: (1 + seeds) * count * image };
    }),
    disk: training.disk.map((use) =>
      use.folder === config.output ? { ...use, folder: dirname(use.folder), bytes: seeds * use.bytes } : use,
    ),
    images: { training: seeds * config.steps * (config.batch ?? 0), evaluation: (1 + seeds) * count },
    otherModel: like && otherSize(training, like),
  };
}

function memoryOf(training: Plan, evaluation: Plan): Needs['memory'] {
  if (!training.memory || !evaluation.memory) return undefined;
  const drawing = evaluation.memory.phases.find(({ name }) => name === 'drawing samples')!;
  return {
    training: needed(training),
    peak: training.memory.peak.name,
    evaluation: needed({ ...evaluation, memory: { ...evaluation.memory, peak: drawing } }),
  };
}

function otherSize(here: Plan, published: Plan): Needs['otherModel'] {
  const [own, known] = [here, published].map(({ memory }) => memory?.networks[0]?.parameters ?? 0) as [number, number];
  return own === known ? undefined : { here: own, published: known };
}

async function modelFile({ model }: Recipe, source: string): Promise<NeededFile> {
  const place = placeOf(source);
  const what = `model ${source}`;
  if (await namesModel(source)) return { what, place, bytes: await bytesBelow(place), state: 'there' };
  const [name, to] = parseHubName(source) ? [source, ''] : [model.name, ` --to ${source}`];
  return { what, place, state: 'missing', command: `eam fetch ${name}${to} --yes`, problem: 'there is no model' };
}

const rewardFile = ({ name, place, bytes, missing }: FoundReward): NeededFile => ({
  what: `reward ${name}`,
  place,
  bytes,
  state: missing ? 'missing' : 'there',
  ...missing,
});

const promptFile = (what: string, { place, prompts }: PromptSet): NeededFile => ({
  what: prompts ? `${prompts.length} ${what}` : what,
  place,
  state: prompts ? 'there' : 'fetched when the recipe runs',
});

async function bytesBelow(path: string): Promise<number | undefined> {
  const entry = await stat(path).catch(() => undefined);
  if (!entry?.isDirectory()) return entry?.size;
  const sizes = await Promise.all((await readdir(path)).map((name) => bytesBelow(join(path, name))));
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}
