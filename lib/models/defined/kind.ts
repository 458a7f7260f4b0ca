import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

import { z } from 'zod';

import { ConfigError, isError } from '../../errors.js';
import { solverNames } from '../../runtime/native/choices.generated.js';
import { expected, validate } from '../../schema/validate.js';
import type { ModelKind } from '../model-kind.js';
import type { LoadModelOptions, Model } from '../model.js';
import { DefinedModel } from './model.js';

const drawing = { steps: 20, solver: 'heun', guidance: 1 } as const;

const drawingSchema = z.object({
  steps: z.int().min(1).default(drawing.steps),
  solver: z.enum(solverNames).default(drawing.solver),
  guidance: z.number().min(0).default(drawing.guidance),
});

/** What a module exports. @throws ConfigError for a file that is missing or fails to load */
async function exportsOf(path: string): Promise<Readonly<Record<string, unknown>>> {
  if (!existsSync(path)) throw new ConfigError(`${path}: there is no such module`);
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    const reason = isError(error) ? error.message : String(error);
    throw new ConfigError(`${path}: the module cannot be loaded: ${reason}`, { cause: error });
  }
}

/** What a module's function returns; its errors say which module it is. */
async function made(path: string, make: (options: LoadModelOptions) => unknown, options: LoadModelOptions) {
  try {
    return (await make(options)) as Model | undefined;
  } catch (error) {
    if (isError(error)) error.message = `${path}: ${error.message}`;
    throw error;
  }
}

/** @throws ConfigError for a module that makes no model, or another than was asked for */
async function load(path: string, options: LoadModelOptions): Promise<Model> {
  const { default: make } = await exportsOf(path);
  const where = `${path}: its default export`;
  if (typeof make !== 'function') {
    const what = 'a function that returns a model, such as export default (options) => defineModel({ … })';
    throw new ConfigError(expected(where, what, make === undefined ? 'none' : typeof make));
  }
  const model = await made(path, make as (options: LoadModelOptions) => unknown, options);
  if (typeof model !== 'object' || model === null || !('latentShape' in model && 'native' in model))
    throw new ConfigError(expected(where, 'a function that returns a model', `one that returns ${typeof model}`));
  const { device = 'cpu', dtype = 'float32' } = options;
  const asked = device === 'cuda' ? 'cuda:0' : device;
  if (model.device !== asked || model.dtype !== dtype) {
    model.dispose();
    const what = `a model on ${asked} in ${dtype}: hand the options device and dtype on to defineModel`;
    throw new ConfigError(expected(where, what, `one on ${model.device} in ${model.dtype}`));
  }
  if (model instanceof DefinedModel) model.source = path;
  return model;
}

/** A JavaScript module that defines a model. */
export const moduleKind: ModelKind = {
  recognises: { endings: ['.mjs', '.js', '.mts', '.ts'] },
  drawing,
  drawingOf: async ({ path }) => {
    const { sampling = {} } = await exportsOf(path);
    return validate(drawingSchema, sampling, `${path}: sampling`);
  },
  load: ({ path }, options) => load(path, options),
  files: async ({ path }) => [path],
  locate: async () => {
    throw new ConfigError(
      'a model that a module defines has no files of weights here: merge the adapter in the module',
    );
  },
};
