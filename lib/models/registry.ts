import { join, resolve } from 'node:path';

import { z } from 'zod';

import { shippedDirectory } from '../runtime/package.js';
import { readJson } from '../schema/json.js';
import { validate } from '../schema/validate.js';
import { CheckpointError, ConfigError } from '../errors.js';
import { digitsConfigSchema, digitsDrawing, loadDigitsModel } from './digits/model.js';
import type { Drawing, LoadModelOptions, Model } from './model.js';
import { isPipelineDirectory } from './sd3/directory.js';
import { loadSd3Model, sd3Drawing } from './sd3/model.js';

interface Loader<Config> {
  /** What the directory's config.json holds besides `"type"`. */
  schema: z.ZodType<Config>;
  drawing: Drawing;
  load(config: Config, directory: string, source: string, options: LoadModelOptions): Promise<Model>;
}

const loader = <Config>(value: Loader<Config>): Loader<unknown> => value as Loader<unknown>;

/** From the `"type"` of a model directory's config.json to what loads it. A new model is one entry. */
const loaders: Readonly<Record<string, Loader<unknown>>> = {
  digits: loader({ schema: digitsConfigSchema, drawing: digitsDrawing, load: loadDigitsModel }),
};

/** The configuration of one network by diffusers, or by transformers; the name of its class. */
const partSchema = z.union([
  z.object({ _class_name: z.string() }).transform((json) => json._class_name),
  z.object({ architectures: z.tuple([z.string()]) }).transform((json) => json.architectures[0]),
]);

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
  const directory = modelDirectory(source);
  if (await isPipelineDirectory(directory)) return loadSd3Model(directory, directory, options);
  const { type, config, path } = await readModelConfig(source);
  const { schema, load } = loaders[type]!;
  return load(validate(schema, config, path), directory, shippedModels.includes(source) ? source : directory, options);
}

/** Where a model's files are. */
export function modelDirectory(source: string): string {
  return shippedModels.includes(source) ? shippedDirectory(source) : resolve(source);
}

/**
 * How a model is sampled where nobody says otherwise; its weights are not touched.
 * @throws CheckpointError where there is no model, ConfigError for an unknown type
 */
export async function drawingOf(source: string): Promise<Drawing> {
  if (await isPipelineDirectory(modelDirectory(source))) return sd3Drawing;
  return loaders[(await readModelConfig(source)).type]!.drawing;
}

/**
 * The config.json of a model directory that is not in diffusers' layout, and the loader that it names.
 * @throws CheckpointError where there is no model, ConfigError for an unknown type
 */
export async function readModelConfig(source: string): Promise<{ type: string; config: unknown; path: string }> {
  const path = join(modelDirectory(source), 'config.json');
  let config: unknown;
  try {
    config = await readJson(path);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CheckpointError(
      `no model at "${source}": ${error.message}. Expected ${shippedModels.map((name) => `"${name}"`).join(', ')} ` +
        "or a directory with config.json and weights, or model_index.json and diffusers' components",
      { cause: error },
    );
  }
  const part = partSchema.safeParse(config);
  if (part.success) {
    throw new ConfigError(
      `${path} is of ${part.data}, one part of a model: name the directory around it, which holds model_index.json`,
    );
  }
  const { type } = validate(z.object({ type: z.enum(Object.keys(loaders)) }), config, path);
  return { type, config, path };
}
