import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { CheckpointError, ConfigError } from '../errors.js';
import { disposeAll } from '../files/safetensors.js';
import { readAdapter } from '../models/adapter-files.js';
import { adapterNote } from '../models/adapters/adapter.js';
import type { WeightedAdapter } from '../models/adapters/combine.js';
import { readDescribed } from '../models/kinds.js';
import type { Model } from '../models/model.js';
import { ownParametersModel } from '../models/own-parameters.js';
import { baseModel, type ModelSource } from '../models/registry.js';
import { readJson } from '../schema/json.js';
import { expected, validate } from '../schema/validate.js';
import { modelIdentity } from '../training/belonging.js';
import { belongsToOf, stateFile } from '../training/state.js';
import { adapterDirectory } from './run-directory.js';
import { foundAgain, readRecord, runOf } from './run-record.js';
import { modelSettings } from './settings/model.js';

/** An adapter that somebody chose, and the model that it says it was trained on. */
export interface ChosenAdapter extends WeightedAdapter {
  base: string | undefined;
}

/** `PATH` or `PATH:WEIGHT`: what is behind the last colon is a weight where it is a number and no file is called so. */
export function parseAdapter(text: string): LocatedAdapter {
  const [, path, weight] = /^(.+):([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)$/i.exec(text) ?? [];
  if (path === undefined || !Number.isFinite(Number(weight)) || existsSync(text)) return { path: text, weight: 1 };
  return { path, weight: Number(weight) };
}

/** An adapter's directory or file that was chosen, and what its update is multiplied by. */
export interface LocatedAdapter {
  path: string;
  weight: number;
}

/**
 * Finds adapters, of a run's directory the newest checkpoint.
 * @param onNote told of checkpoints that are passed over
 * @throws CheckpointError where a run has none
 */
export async function locateChosen(
  choices: readonly LocatedAdapter[],
  onNote: (line: string) => void,
): Promise<LocatedAdapter[]> {
  const located: LocatedAdapter[] = [];
  for (const { path, weight } of choices) {
    const place = await adapterDirectory(path, (error) => onNote(`passed over: ${error.message}`));
    located.push({ path: place, weight });
  }
  return located;
}

/** The own parameters of a model that were chosen, where others choose adapters, and the model that they say. */
export interface ChosenParameters {
  path: string;
  base: ModelSource;
}

/**
 * Finds the own parameters of a model in the place of an adapter.
 * @returns undefined where adapters alone were chosen
 * @throws ConfigError where something else was chosen with them, or a weight: they are no update that could be added
 */
export async function ownParametersAmong(located: readonly LocatedAdapter[]): Promise<ChosenParameters | undefined> {
  for (const { path, weight } of located) {
    const own = await ownParametersModel(path);
    if (own === undefined) continue;
    if (located.length > 1 || weight !== 1)
      throw new ConfigError(
        expected('adapter', `${path} alone and without a weight, since it holds a model's own parameters`, weight),
      );
    return { path, base: readDescribed(await baseNow(path, own), path) };
  }
  return undefined;
}

/**
 * Reads adapters.
 * @param onNote told of what an adapter's layout leaves open
 * @throws CheckpointError where one cannot be read
 */
export async function readChosen(
  located: readonly LocatedAdapter[],
  onNote: (line: string) => void,
): Promise<ChosenAdapter[]> {
  const chosen: ChosenAdapter[] = [];
  try {
    for (const { path, weight } of located) {
      const adapter = await readAdapter(path);
      chosen.push({ adapter, path, weight, base: await baseNow(path, adapter.config.base) });
      const remark = adapterNote(path, adapter.config);
      if (remark !== undefined) onNote(remark);
    }
    return chosen;
  } catch (error) {
    disposeChosen(chosen);
    throw error;
  }
}

export const disposeChosen = (chosen: readonly ChosenAdapter[]): void => {
  for (const { adapter } of chosen) disposeAll(adapter.tensors);
};

/**
 * The model that adapters were trained on.
 * @throws CheckpointError where they name several, or none, or one that is not there
 */
export async function baseOf(chosen: readonly [ChosenAdapter, ...ChosenAdapter[]]): Promise<string> {
  const first = chosen.find(({ base }) => base !== undefined) ?? chosen[0];
  const other = chosen.find(({ base }) => base !== undefined && base !== first.base);
  if (other)
    throw new CheckpointError(
      `${first.path} was trained on ${first.base}, and ${other.path} on ${other.base}: name the model to draw with ` +
        '(--model)',
    );
  return baseModel(first.path, first.base);
}

/** Where the model is that an adapter names: one that was moved together with the adapter's run is beside it. */
async function baseNow<Base>(path: string, base: Base): Promise<Base> {
  const run = runOf(path);
  if (base === undefined || run === undefined) return base;
  const { output } = (await readJson(join(run, 'config.json'))) as { output?: unknown };
  return typeof output === 'string' ? (foundAgain(base, output, run) as Base) : base;
}

/**
 * @param remedy what to do about it
 * @throws CheckpointError where the run of an adapter trained it on another model than this one
 */
export async function refuseOtherModel(path: string, model: Model, remedy: string): Promise<void> {
  if (!existsSync(join(path, stateFile))) return;
  const before = (await belongsToOf(path)).model;
  if (before === undefined || before === (await modelIdentity(model))) return;
  throw new CheckpointError(`${path} was trained on another model than ${model.source} holds now; ${remedy}`);
}

const trainedSchema = z.object({
  image: modelSettings.image,
  textLength: modelSettings.textLength,
  /** In the record of a distillation alone. */
  teacher: z.object({}).optional(),
  /** The model, where it was a module with weights. */
  model: z
    .object({ type: z.literal('module'), weights: z.string() })
    .optional()
    .catch(undefined),
});
export type TrainedWith = Partial<z.output<typeof trainedSchema>>;

/** What the adapter of a run's checkpoint has seen; nothing of one that is not in a run with a record. */
export async function trainedWith(path: string): Promise<TrainedWith> {
  const run = runOf(path);
  const record = run && join(run, 'config.json');
  return record ? validate(trainedSchema, await readRecord(run, 'config.json'), record) : {};
}
