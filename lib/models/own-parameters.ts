import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { hasManifest, verifyCheckpoint } from '../files/checkpoints.js';
import { disposeAll, readTensors, saveTensors } from '../files/safetensors.js';
import type { NativeFlowModel } from '../runtime/native/binding.js';
import type { Tensor } from '../runtime/native/tensor.js';
import { makeDirectory } from '../runtime/make-directory.js';
import { readJson } from '../schema/json.js';

/** The parameters that were trained, by their own names: what a model without a LoRA adapter writes in its place. */
export const parametersFile = 'parameters.safetensors';

/** What they were trained on: the model's settings. */
const modelFile = 'model.json';

/** Writes what is trained of a network, or `tensors` in its place, and which model it is of. */
export async function saveOwnParameters(
  native: NativeFlowModel,
  model: unknown,
  directory: string,
  tensors?: Readonly<Record<string, Tensor>>,
): Promise<void> {
  const own = tensors ? undefined : native.trainable();
  try {
    makeDirectory(directory);
    await saveTensors(join(directory, parametersFile), tensors ?? own!, { format: 'pt' });
    await writeFile(join(directory, modelFile), `${JSON.stringify(model, null, 2)}\n`);
  } finally {
    if (own) disposeAll(own);
  }
}

/** @throws CheckpointError for parameters that are missing, damaged or of another network */
export async function loadOwnParameters(native: NativeFlowModel, directory: string): Promise<void> {
  if (await hasManifest(directory)) await verifyCheckpoint(directory, [parametersFile]);
  const tensors = await readTensors(join(directory, parametersFile));
  try {
    await native.load('trainable', tensors);
  } finally {
    disposeAll(tensors);
  }
}

/**
 * The settings of the model that a directory's own parameters were trained on; undefined where it holds none.
 * @throws ConfigError where they cannot be read
 */
export async function ownParametersModel(directory: string): Promise<unknown> {
  if (!existsSync(join(directory, parametersFile))) return undefined;
  return readJson(join(directory, modelFile));
}
