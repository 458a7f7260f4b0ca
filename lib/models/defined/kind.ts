import { stat } from 'node:fs/promises';
import { basename } from 'node:path';

import { ConfigError } from '../../errors.js';
import { readHeader } from '../../files/safetensors.js';
import { expected, validate } from '../../schema/validate.js';
import type { ModelKind, ModelPlace } from '../model-kind.js';
import type { LoadModelOptions, Model } from '../model.js';
import { DefinedModel } from './model.js';
import { definedBy, moduleDrawing, moduleDrawingOf } from './module.js';
import { modulePretraining } from './pretraining.js';
import { moduleSchema } from './settings.js';
import { withStoredWeights } from './weights.js';

/** The module of a place, and the file of its weights where settings name one. */
const settingsOf = ({ path, json }: ModelPlace): { module: string; weights?: string | undefined } =>
  json === undefined ? { module: path } : validate(moduleSchema, json, 'model');

const filesOf = (place: ModelPlace): string[] => {
  const { module, weights } = settingsOf(place);
  return [module, ...(weights === undefined ? [] : [weights])];
};

async function load(place: ModelPlace, options: LoadModelOptions): Promise<Model> {
  const { module, weights } = settingsOf(place);
  const model = await definedBy(module, options);
  if (weights === undefined) return model;
  if (model instanceof DefinedModel) return withStoredWeights(model, weights);
  model.dispose();
  throw new ConfigError(
    expected(`${module}: its default export`, 'a model of defineModel, to have weights', 'another'),
  );
}

/** A module, in JavaScript or TypeScript, that defines a model. */
export const moduleKind: ModelKind = {
  recognises: { type: 'module', endings: ['.mjs', '.js', '.mts', '.ts'] },
  drawing: moduleDrawing,
  drawingOf: (place) => moduleDrawingOf(settingsOf(place).module),
  load,
  files: async (place) => filesOf(place),
  locate: async () => {
    throw new ConfigError(
      'a model that a module defines has no files of weights here: merge the adapter in the module',
    );
  },
  async parts(place) {
    const { weights } = settingsOf(place);
    if (weights !== undefined) await readHeader(weights);
    return Promise.all(filesOf(place).map(async (path) => ({ name: basename(path), bytes: (await stat(path)).size })));
  },
  pretraining: modulePretraining,
};
