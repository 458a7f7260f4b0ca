import { resolve } from 'node:path';

import { z } from 'zod';

import type { Drawing, LoadModelOptions, Model } from '../../models/model.js';
import { describedModelSchema } from '../../models/kinds.js';
import { shippedModels } from '../../models/shipped.js';
import { loadModel, takesAdapter, type ModelSource } from '../../models/registry.js';
import { ConfigError } from '../../errors.js';
import { device, dtype } from '../../training/settings.js';

const adapterSchema = z.strictObject({
  /** r of W + (alpha/r) B A. */
  rank: z.int().min(1).default(8),
  /** The update is scaled by alpha / rank. */
  alpha: z.number().gt(0).default(16),
  /** Suffixes of the names of the layers to adapt; left out: the model's own choice. */
  targets: z.array(z.string().min(1)).min(1).optional(),
});

/** These settings say which model a job trains, and how it is loaded. */
export const modelSettings = {
  /** `"digits"` or a model's directory; or settings that describe a model. Paths are made absolute. */
  model: z.union([
    z
      .string()
      .min(1)
      .transform((name) => (shippedModels.includes(name) ? name : resolve(name))),
    describedModelSchema,
  ]),
  /** `'cpu'`, `'cuda'` or `'cuda:N'`; `'auto'`: CUDA where the loaded addon has a device, else the CPU. */
  device: device.default('auto'),
  /** What the network computes in. */
  dtype,
  /** The LoRA adapter to train, where the model takes one; left out, it is of rank 8 and alpha 16. */
  adapter: adapterSchema.optional(),
  /** The size of the images in pixels; left out, it is what the model was made for. */
  image: z
    .strictObject({
      /** In pixels. */
      width: z.int().min(1),
      /** In pixels. */
      height: z.int().min(1),
    })
    .optional(),
  /** Keep one block's activations at a time and compute them again in the backward pass. */
  checkpointing: z.boolean().optional(),
  /** Tokens a prompt that a T5 text encoder reads. */
  textLength: z.int().min(1).max(4096).optional(),
  /** What guidance leads away from, where the model knows such prompts. */
  negativePrompt: z.string().optional(),
};

const settingsSchema = z.object(modelSettings);
export type ModelSettings = z.output<typeof settingsSchema>;

/**
 * Settings with the adapter that is trained where they say nothing of one.
 * @param isKnown whether the model is one that takes an adapter, and need not be there
 * @throws ConfigError for an adapter of a model that trains its own parameters, CheckpointError where there is no such
 * model
 */
export async function withAdapter<
  Settings extends { model: ModelSource; adapter?: z.output<typeof adapterSchema> | undefined },
>(settings: Settings, isKnown = false): Promise<Settings> {
  if (isKnown || (await takesAdapter(settings.model)))
    return { ...settings, adapter: settings.adapter ?? adapterSchema.parse({}) };
  if (settings.adapter === undefined) return settings;
  throw new ConfigError('adapter: this model takes none, its own parameters are trained: leave it out');
}

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
