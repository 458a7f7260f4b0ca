import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { CheckpointError } from '../errors.js';
import { describedModelSchema, type DescribedModel } from '../models/kinds.js';
import { adapterNote, readAdapterConfig } from '../models/adapters/adapter.js';
import type { ImageSize, Model, ModelDType } from '../models/model.js';
import { ownParametersModel } from '../models/own-parameters.js';
import { loadModel, type ModelSource } from '../models/registry.js';
import { shippedModels } from '../models/shipped.js';
import { baseModel } from '../models/registry.js';
import { chooseDevice, deviceLine } from '../runtime/device.js';
import { readJson } from '../schema/json.js';
import { validate } from '../schema/validate.js';
import { modelIdentity } from '../training/belonging.js';
import { belongsToOf, stateFile } from '../training/state.js';
import { adapterDirectory } from './run-directory.js';
import { foundAgain, runOf } from './run-record.js';
import { modelSettings } from './settings/model.js';

/** These options say which model draws, with which adapter, and how it is loaded. */
export interface ModelChoice {
  /** Default: the one that the adapter was trained on, or the first that comes with the package. */
  model?: string | undefined;
  /** An adapter's directory, or a run's. */
  adapter?: string | undefined;
  /** In pixels; one side alone is that of a square. */
  width?: number | undefined;
  height?: number | undefined;
  textLength?: number | undefined;
  dtype?: ModelDType | undefined;
  device?: string | undefined;
}

/** What {@link openAdaptedModel} opened, and where it came from. */
export interface AdaptedModel {
  model: Model;
  source: ModelSource;
  /** The adapter's directory. */
  directory: string | undefined;
  textLength: number | undefined;
  /** What to draw with where nobody says: 1 for an adapter that was distilled from guidance, else the model's own. */
  guidance: number;
}

/**
 * Loads a model with its adapter; image size and length of prompts are as in the adapter's run, where nobody says
 * otherwise.
 * @param onNote told of checkpoints that are passed over, and of what an adapter's layout leaves open
 */
export async function openAdaptedModel(choice: ModelChoice, onNote: (line: string) => void): Promise<AdaptedModel> {
  const { dtype } = choice;
  const chosen = chooseDevice(choice.device ?? 'auto');
  if (chosen.reason !== undefined) onNote(deviceLine(chosen));
  const { device } = chosen;
  const directory =
    choice.adapter === undefined
      ? undefined
      : await adapterDirectory(choice.adapter, (error) => onNote(`passed over: ${error.message}`));
  const own = directory === undefined ? undefined : await ownModel(directory);
  const adapter = directory === undefined || own ? undefined : await readAdapterConfig(directory);
  const remark = adapter && adapterNote(directory!, adapter);
  if (remark !== undefined) onNote(remark);
  const source =
    choice.model ??
    own ??
    (adapter ? await baseModel(directory!, await baseNow(directory!, adapter.base)) : shippedModels[0]);
  const trained = directory === undefined ? {} : await trainedWith(directory);
  const { textLength = trained.textLength } = choice;
  const trainable = adapter && { rank: adapter.rank, alpha: adapter.alpha, targets: adapter.targets };
  const model = await loadModel(source, {
    device,
    dtype,
    adapter: trainable,
    size: sizeOf(choice) ?? trained.image,
    textLength,
  });
  try {
    if (directory !== undefined) {
      if (choice.model === undefined) await refuseOtherModel(directory, model);
      await model.loadAdapter(directory);
    }
    const guidance = trained.teacher ? 1 : model.sampling.guidance;
    return { model, source, directory, textLength, guidance };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

const trainedSchema = z.object({
  image: modelSettings.image,
  textLength: modelSettings.textLength,
  /** In the record of a distillation alone. */
  teacher: z.object({}).optional(),
});

/** What the adapter of a run's checkpoint has seen; nothing of one that is not in a run with a record. */
async function trainedWith(directory: string): Promise<Partial<z.output<typeof trainedSchema>>> {
  const run = runOf(directory);
  const record = run && join(run, 'config.json');
  return record ? validate(trainedSchema, await readJson(record), record) : {};
}

/** Where the model is that an adapter names: one that was moved together with the adapter's run is beside it. */
async function baseNow<Base>(directory: string, base: Base): Promise<Base> {
  const run = runOf(directory);
  if (base === undefined || run === undefined) return base;
  const { output } = (await readJson(join(run, 'config.json'))) as { output?: unknown };
  return typeof output === 'string' ? (foundAgain(base, output, run) as Base) : base;
}

/** The settings of the model whose own parameters a directory holds; undefined of one that holds an adapter. */
async function ownModel(directory: string): Promise<DescribedModel | undefined> {
  const own = await ownParametersModel(directory);
  return own === undefined ? undefined : validate(describedModelSchema, await baseNow(directory, own), directory);
}

/** @throws CheckpointError where another model has come to be where that of the adapter's run was */
async function refuseOtherModel(directory: string, model: Model): Promise<void> {
  if (!existsSync(join(directory, stateFile))) return;
  const before = (await belongsToOf(directory)).model;
  if (before === undefined || before === (await modelIdentity(model))) return;
  throw new CheckpointError(
    `${directory} was trained on another model than ${model.source} holds now; put that back, or name the model to ` +
      'draw with (--model)',
  );
}

function sizeOf({ width, height }: ModelChoice): ImageSize | undefined {
  const side = width ?? height;
  return side === undefined ? undefined : { width: width ?? side, height: height ?? side };
}
