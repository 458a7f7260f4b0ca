import { existsSync } from 'node:fs';

import { z } from 'zod';

import { ConfigError, isError } from '../../errors.js';
import { importModule } from '../../runtime/import-module.js';
import { solverNames } from '../../runtime/native/choices.generated.js';
import { expected, validate } from '../../schema/validate.js';
import type { Drawing, LoadModelOptions, Model } from '../model.js';
import { inContext } from './context.js';
import { DefinedModel } from './model.js';

/** How a module's model is drawn where nobody says otherwise. */
export const moduleDrawing: Drawing = { steps: 20, solver: 'heun', guidance: 1 };

const drawingSchema = z.object({
  steps: z.int().min(1).default(moduleDrawing.steps),
  solver: z.enum(solverNames).default(moduleDrawing.solver),
  guidance: z.number().min(0).default(moduleDrawing.guidance),
});

/** Gives the exports of a module. @throws ConfigError for a file that is missing or fails to load */
async function exportsOf(path: string): Promise<Readonly<Record<string, unknown>>> {
  if (!existsSync(path)) throw new ConfigError(`${path}: there is no such module`);
  try {
    return await importModule(path);
  } catch (error) {
    const reason = isError(error) ? error.message : String(error);
    throw new ConfigError(`${path}: the module cannot be loaded: ${reason}`, { cause: error });
  }
}

/**
 * How the model of a module is drawn, as the module says.
 * @throws ConfigError for a module that cannot be loaded, or says something else
 */
export async function moduleDrawingOf(path: string): Promise<Drawing> {
  const { sampling = {} } = await exportsOf(path);
  return validate(drawingSchema, sampling, `${path}: sampling`);
}

/** The model of a module. @throws ConfigError for a module that makes no model, or another than was asked for */
export async function definedBy(path: string, options: LoadModelOptions): Promise<Model> {
  const { default: make } = await exportsOf(path);
  const where = `${path}: its default export`;
  if (typeof make !== 'function') {
    const what = 'a function that returns a model, such as export default (options) => defineModel({ … })';
    throw new ConfigError(expected(where, what, make === undefined ? 'none' : typeof make));
  }
  const model = (await inContext(path, () => make(options) as unknown)) as Model | undefined;
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
