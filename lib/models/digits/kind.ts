import { join } from 'node:path';

import { z } from 'zod';

import { readJson } from '../../schema/json.js';
import { validate } from '../../schema/validate.js';
import { locateWeights, weightsIn } from '../component-weights.js';
import type { ModelKind } from '../model-kind.js';
import { digitsConfigSchema, digitsDrawing, loadDigitsModel, whyUnguided } from './model.js';
import { digitsPretraining } from './pretraining.js';

/** Whether the model's own record says that it has never been trained without a label. */
async function alwaysLabelled(directory: string): Promise<boolean> {
  const recipe = await readJson(join(directory, 'recipe.json')).catch(() => undefined);
  return z.object({ labelDropout: z.literal(0) }).safeParse(recipe).success;
}

export const digitsKind: ModelKind = {
  recognises: { type: 'digits' },
  drawing: digitsDrawing,
  unguided: async ({ directory, source }) => ((await alwaysLabelled(directory)) ? whyUnguided(source) : undefined),
  load: async ({ directory, source, path, json }, options) => {
    const isConditional = await alwaysLabelled(directory);
    return loadDigitsModel(validate(digitsConfigSchema, json, path), directory, source, options, isConditional);
  },
  files: async ({ directory }) => [join(directory, 'config.json'), ...(await weightsIn(directory))],
  locate: async (directory) => ({
    directory,
    network: '.',
    weights: await locateWeights(directory),
    folders: [],
  }),
  pretraining: digitsPretraining,
};
