import type { FootprintOptions, ModelFootprint } from './footprint.js';
import { readHeader } from '../files/safetensors.js';
import { modelDirectory, readModelConfig } from './registry.js';
import { isPipelineDirectory } from './sd3/directory.js';
import { sd3Footprint } from './sd3/footprint.js';
import { locateModel } from './stored-model.js';

/**
 * What a model takes, from its configuration and its files' headers; undefined for one too small to plan for, such as the digits.
 * @throws ConfigError for a directory or options that are not supported, CheckpointError where there is no model, or weights that
 *   it needs are missing or cut short
 */
export async function modelFootprint(source: string, options: FootprintOptions): Promise<ModelFootprint | undefined> {
  const directory = modelDirectory(source);
  if (await isPipelineDirectory(directory)) return sd3Footprint(directory, options);
  await readModelConfig(source);
  for (const file of (await locateModel(source)).weights) await readHeader(file);
  return undefined;
}
