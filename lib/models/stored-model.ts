import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { shippedDirectory } from '../package.js';
import { shippedModels } from './registry.js';
import { isPipelineDirectory, pipelineComponents } from './sd3/directory.js';
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

/** @throws CheckpointError for a directory without weights, or with a shard missing */
export async function locateModel(source: string): Promise<StoredModel> {
  const directory = shippedModels.includes(source) ? shippedDirectory(source) : resolve(source);
  if (!(await isPipelineDirectory(directory))) {
    return { directory, network: '.', weights: await locateWeights(directory), folders: [] };
  }
  const names = new Set(await readdir(directory));
  return {
    directory,
    network: 'transformer',
    weights: await locateWeights(join(directory, 'transformer')),
    folders: pipelineComponents.filter((name) => names.has(name)),
  };
}
