import { access, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { CheckpointError } from '../errors.js';
import { modelDirectory, shippedModels } from './registry.js';
import { checkSd3Classes, isPipelineDirectory, pipelineComponents } from './sd3/directory.js';
import { locateWeights } from './sd3/weights.js';

/** Where a model's files are, for those who copy them. */
export interface StoredModel {
  directory: string;
  /** Of the network that adapters change, relative to the directory. */
  network: string;
  /** Its weights' files, of which each tensor is in one. */
  weights: string[];
  /** Folders that belong to the model. */
  folders: string[];
}

/**
 * The model that an adapter was trained on.
 * @param adapter its directory, for messages
 * @param base what it says
 * @throws CheckpointError where it says nothing, or a model that is not here
 */
export async function baseModel(adapter: string, base: string | undefined): Promise<string> {
  const hint = "name the model's directory (--model)";
  if (base === undefined) throw new CheckpointError(`${adapter} does not say which model it was trained on: ${hint}`);
  const isHere =
    shippedModels.includes(base) ||
    (await access(resolve(base)).then(
      () => true,
      () => false,
    ));
  if (!isHere) throw new CheckpointError(`${adapter} was trained on ${base}, which is not here: ${hint}`);
  return base;
}

/**
 * @throws ConfigError for a pipeline or a transformer that adapters are not made for here, CheckpointError for a directory
 *   without weights, or with a shard missing
 */
export async function locateModel(source: string): Promise<StoredModel> {
  const directory = modelDirectory(source);
  if (!(await isPipelineDirectory(directory))) {
    return { directory, network: '.', weights: await locateWeights(directory), folders: [] };
  }
  await checkSd3Classes(directory);
  const names = new Set(await readdir(directory));
  return {
    directory,
    network: 'transformer',
    weights: await locateWeights(join(directory, 'transformer')),
    folders: pipelineComponents.filter((name) => names.has(name)),
  };
}
