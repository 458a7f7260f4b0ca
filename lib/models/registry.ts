import { join, resolve } from 'node:path';

import { z } from 'zod';

import { shippedDirectory } from '../package.js';
import { readJson } from '../config/read.js';
import { validate } from '../config/validate.js';
import { CheckpointError, ConfigError } from '../errors.js';
import { digitsConfigSchema, loadDigitsModel } from './digits.js';
import type { LoadModelOptions, Model } from './model.js';
import { isPipelineDirectory } from './sd3/directory.js';
import { loadSd3Model } from './sd3/model.js';

interface Loader<Config> {
  /** What the directory's config.json holds besides `"type"`. */
  schema: z.ZodType<Config>;
  load(config: Config, directory: string, source: string, options: LoadModelOptions): Promise<Model>;
}

const loader = <Config>(value: Loader<Config>): Loader<unknown> => value as Loader<unknown>;

/** From the `"type"` of a model directory's config.json to what loads it. A new model is one entry. */
const loaders: Readonly<Record<string, Loader<unknown>>> = {
  digits: loader({ schema: digitsConfigSchema, load: loadDigitsModel }),
};

/** Models that come with the package. */
export const shippedModels = ['digits'];

/**
 * Loads a model.
 *
 * @param source `'digits'`, the model that comes with the package; a directory with a config.json whose `"type"` names
 *   the kind of model, and its weights; or one of Stable Diffusion 3 or 3.5 in diffusers' layout, with a model_index.json
 * @throws ConfigError for an unknown type or options out of range, CheckpointError for weights that do not fit
 */
export async function loadModel(source: string, options: LoadModelOptions = {}): Promise<Model> {
  const isShipped = shippedModels.includes(source);
  const directory = isShipped ? shippedDirectory(source) : resolve(source);
  if (await isPipelineDirectory(directory)) return loadSd3Model(directory, directory, options);
  let config: unknown;
  try {
    config = await readJson(join(directory, 'config.json'));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CheckpointError(
      `no model at "${source}": ${error.message}. Expected ${shippedModels.map((name) => `"${name}"`).join(', ')} ` +
        "or a directory with config.json and weights, or model_index.json and diffusers' components",
      { cause: error },
    );
  }
  const path = join(directory, 'config.json');
  const { type } = validate(z.object({ type: z.enum(Object.keys(loaders)) }), config, path);
  const { schema, load } = loaders[type]!;
  return load(validate(schema, config, path), directory, isShipped ? source : directory, options);
}
