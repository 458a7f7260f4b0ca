import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { CheckpointError } from '../errors.js';
import { disposeAll } from '../files/safetensors.js';
import { readAdapter } from '../models/adapter-files.js';
import { adapterNote } from '../models/adapters/adapter.js';
import type { WeightedAdapter } from '../models/adapters/combine.js';
import type { Model } from '../models/model.js';
import { baseModel } from '../models/registry.js';
import { readJson } from '../schema/json.js';
import { validate } from '../schema/validate.js';
import { modelIdentity } from '../training/belonging.js';
import { belongsToOf, stateFile } from '../training/state.js';
import { adapterDirectory } from './run-directory.js';
import { foundAgain, runOf } from './run-record.js';
import { modelSettings } from './settings/model.js';

/** An adapter that somebody chose, and the model that it says it was trained on. */
export interface ChosenAdapter extends WeightedAdapter {
  base: string | undefined;
}

/** `PATH` or `PATH:WEIGHT`: what is behind the last colon is a weight where it is a number and no file is called so. */
export function parseAdapter(text: string): { path: string; weight: number } {
  const [, path, weight] = /^(.+):([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)$/i.exec(text) ?? [];
  if (path === undefined || !Number.isFinite(Number(weight)) || existsSync(text)) return { path: text, weight: 1 };
  return { path, weight: Number(weight) };
}

/**
 * Reads adapters, of a run's directory the newest checkpoint.
 * @param onNote told of checkpoints that are passed over, and of what an adapter's layout leaves open
 * @throws CheckpointError where one cannot be read
 */
export async function readChosen(
  choices: readonly { path: string; weight: number }[],
  onNote: (line: string) => void,
): Promise<ChosenAdapter[]> {
  const chosen: ChosenAdapter[] = [];
  try {
    for (const { path: given, weight } of choices) {
      const path = await adapterDirectory(given, (error) => onNote(`passed over: ${error.message}`));
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
async function baseNow(path: string, base: string | undefined): Promise<string | undefined> {
  const run = runOf(path);
  if (base === undefined || run === undefined) return base;
  const { output } = (await readJson(join(run, 'config.json'))) as { output?: unknown };
  return typeof output === 'string' ? foundAgain(base, output, run) : base;
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
});

/** What the adapter of a run's checkpoint has seen; nothing of one that is not in a run with a record. */
export async function trainedWith(path: string): Promise<Partial<z.output<typeof trainedSchema>>> {
  const run = runOf(path);
  const record = run && join(run, 'config.json');
  return record ? validate(trainedSchema, await readJson(record), record) : {};
}
