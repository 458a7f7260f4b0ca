import type { FootprintOptions, ModelFootprint } from '../plan/footprint.js';
import { modelDirectory, readModelConfig } from './registry.js';
import { isPipelineDirectory } from './sd3/directory.js';
import { sd3Footprint } from './sd3/footprint.js';

/**
 * What a model takes, from its configuration alone; undefined for one too small to plan for, such as the digits.
 * @throws ConfigError for a directory or options that are not supported, CheckpointError where there is no model
 */
export async function modelFootprint(source: string, options: FootprintOptions): Promise<ModelFootprint | undefined> {
  const directory = modelDirectory(source);
  if (await isPipelineDirectory(directory)) return sd3Footprint(directory, options);
  await readModelConfig(source);
  return undefined;
}
