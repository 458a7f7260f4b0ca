import { resolve } from 'node:path';

import { z } from 'zod';

import type { Drawing, LoadModelOptions, Model } from '../../models/model.js';
import { shippedModels } from '../../models/shipped.js';
import { loadModel } from '../../models/registry.js';
import { device, dtype } from '../../training/settings.js';

/** These settings say which model a job trains, and how it is loaded. */
export const modelSettings = {
  model: z
    .string()
    .min(1)
    .transform((name) => (shippedModels.includes(name) ? name : resolve(name)))
    .describe(
      `The model is ${shippedModels.map((name) => `"${name}"`).join(' or ')}, which comes with the package, or in ` +
        'this directory.',
    ),
  device: device.default('auto'),
  dtype: dtype.describe('The network computes in this type.'),
  adapter: z
    .strictObject({
      rank: z.int().min(1).default(8).describe('The update W + (alpha/r) B A has this rank r.'),
      alpha: z.number().gt(0).default(16).describe('The update is scaled by alpha / rank.'),
      targets: z
        .array(z.string().min(1))
        .min(1)
        .optional()
        .describe("Layers whose names end in one of these are adapted; left out, they are the model's own choice."),
    })
    .prefault({})
    .describe('This LoRA adapter is trained.'),
  image: z
    .strictObject({
      width: z.int().min(1).describe('Images are this wide, in pixels.'),
      height: z.int().min(1).describe('Images are this high, in pixels.'),
    })
    .optional()
    .describe('Images have this size; left out, it is what the model was made for.'),
  checkpointing: z
    .boolean()
    .optional()
    .describe(
      "True keeps one block's activations at a time and computes them again in the backward pass, to save memory.",
    ),
  textLength: z
    .int()
    .min(1)
    .max(4096)
    .optional()
    .describe('A text encoder without a length of its own reads this many tokens of a prompt; left out, they are 256.'),
  negativePrompt: z
    .string()
    .optional()
    .describe('Guidance leads away from this prompt, where the model knows such prompts.'),
};

const settingsSchema = z.object(modelSettings);
export type ModelSettings = z.output<typeof settingsSchema>;

/** Loads the model of a configuration, with the adapter to train. */
export function loadConfiguredModel(
  { model, device, dtype, adapter, image, checkpointing, textLength }: Omit<ModelSettings, 'negativePrompt'>,
  options: Pick<LoadModelOptions, 'device' | 'seed'> = {},
): Promise<Model> {
  return loadModel(model, { device, dtype, adapter, size: image, checkpointing, textLength, ...options });
}

/** Settings that say how samples are drawn, with the model's own choice where they leave it out. */
export function withDrawing<Settings extends { [Key in keyof Drawing]?: Drawing[Key] | undefined }>(
  settings: Settings,
  own: Drawing,
): Settings & Drawing {
  const { steps = own.steps, solver = own.solver, guidance = own.guidance } = settings;
  return { ...settings, steps, solver, guidance };
}
