import { resolve } from 'node:path';

import { z } from 'zod';

/** These settings say which module defines a model, and where its weights are, in the place of a directory. */
export interface ModuleModel {
  /** It says of what kind the model is. */
  type?: 'module' | undefined;
  /** The JavaScript or TypeScript module, whose code is run. */
  module: string;
  /** A safetensors file, such as `eam pretrain` writes: its tensors take the place of those that the module makes. */
  weights: string;
}

const file = z
  .string()
  .min(1)
  .transform((path) => resolve(path));

const module = file.describe('This JavaScript or TypeScript module defines the model, and is run.');
const type = z.literal('module');

/** A module, with a file of its weights or without one. */
export const moduleSchema = z.strictObject({
  type: type.optional().describe('It is a module; left out, `module` says so.'),
  module,
  weights: file
    .optional()
    .describe(
      'The tensors of this safetensors file, such as pretraining writes, replace those that the module makes; left ' +
        'out, those stay.',
    ),
});

/** A module that is to be trained from scratch. */
export const untrainedModuleSchema = z.strictObject({
  type: type.default('module').describe('It is a module.'),
  module,
});
