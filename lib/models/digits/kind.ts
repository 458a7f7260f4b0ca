import { join } from 'node:path';

import { validate } from '../../schema/validate.js';
import { locateWeights, weightsIn } from '../component-weights.js';
import type { ModelKind } from '../model-kind.js';
import { digitsConfigSchema, digitsDrawing, loadDigitsModel } from './model.js';
import { digitsPretraining } from './pretraining.js';

export const digitsKind: ModelKind = {
  recognises: { type: 'digits' },
  drawing: digitsDrawing,
  load: async ({ directory, source, path, json }, options) =>
    loadDigitsModel(validate(digitsConfigSchema, json, path), directory, source, options),
  files: async (directory) => [join(directory, 'config.json'), ...(await weightsIn(directory))],
  locate: async (directory) => ({
    directory,
    network: '.',
    weights: await locateWeights(directory),
    folders: [],
  }),
  pretraining: digitsPretraining,
};
