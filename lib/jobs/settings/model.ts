import { resolve } from 'node:path';

import { z } from 'zod';

import { decoderPrecisions, type Drawing, type LoadModelOptions, type Model } from '../../models/model.js';
import { pathOrHubName } from '../../files/hub-cache.js';
import { describedModelSchema } from '../../models/kinds.js';
import { shippedModels } from '../../models/shipped.js';
import { loadModel, takesAdapter, type ModelSource } from '../../models/registry.js';
import { ConfigError } from '../../errors.js';
import { called } from '../../schema/configuration.js';
import { device, dtype } from '../../training/settings.js';

const rank = z.int().min(1);
const alpha = z.number().gt(0);
const targets = z.array(z.string().min(1)).min(1).optional();
const fold = z
  .boolean()
  .optional()
  .describe(
    "True adds the update to copies of the adapted layers' weights for as long as a rollout or a drawing takes, " +
      'which are faster then. Left out, a GPU has the copies where its memory allows, and a CPU always; the digits ' +
      'have none.',
  );
const ofTheModel = "Layers whose names end in one of these are adapted; left out, they are the model's own choice";
/** The adapter of a configuration that says nothing of it. */
export const adapterDefaults = { rank: 8, alpha: 16 } as const;

const ofTheAdapter =
  `This LoRA adapter is trained, where the model takes one; left out, one of rank ${adapterDefaults.rank} and alpha ` +
  `${adapterDefaults.alpha} is.`;

/** The adapter of a job that may start from one that is there. */
export const startedAdapter = z
  .strictObject({
    rank: rank
      .optional()
      .describe(
        `The update W + (alpha/r) B A has this rank r; left out, it is ${adapterDefaults.rank}, or that of from.`,
      ),
    alpha: alpha
      .optional()
      .describe(
        `The update is scaled by alpha / rank; left out, alpha is ${adapterDefaults.alpha}, or as from is scaled.`,
      ),
    targets: targets.describe(`${ofTheModel}, or those of from.`),
    fold,
    from: z
      .string()
      .min(1)
      .transform((path) => resolve(path))
      .optional()
      .describe(
        'Training starts from this adapter or run, whose update is no part of the pretrained model; left out, from ' +
          'the pretrained model.',
      ),
  })
  .optional()
  .describe(ofTheAdapter);

const adapterSchema = z
  .strictObject({
    rank: rank.default(adapterDefaults.rank).describe('The update W + (alpha/r) B A has this rank r.'),
    alpha: alpha.default(adapterDefaults.alpha).describe('The update is scaled by alpha / rank.'),
    targets: targets.describe(`${ofTheModel}.`),
    fold,
  })
  .meta(called('TrainedAdapterConfig'));

/** These settings say which model a job trains, and how it is loaded. */
export const modelSettings = {
  model: z
    .union([
      z
        .string()
        .min(1)
        .transform((name) => (shippedModels.includes(name) ? name : pathOrHubName(name))),
      describedModelSchema,
    ])
    .describe(
      `The model is ${shippedModels.map((name) => `"${name}"`).join(' or ')}, which comes with the package, or in ` +
        'this directory, or of this name of the hub, or defined by this module, or described by these settings.',
    ),
  device: device.default('auto'),
  dtype: dtype.describe('The network computes in this type.'),
  adapter: adapterSchema.optional().describe(ofTheAdapter),
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
      "True keeps one block's activations at a time and computes them again in the backward pass, to save memory; " +
        'left out, it is false.',
    ),
  textLength: z
    .int()
    .min(1)
    .max(4096)
    .optional()
    .describe('A text encoder without a length of its own reads this many tokens of a prompt; left out, they are 256.'),
  decoder: z
    .enum(decoderPrecisions)
    .optional()
    .describe(
      'The autoencoder\'s decoder computes so: in float32, but with "tf32" its convolutions round what they multiply ' +
        'to 10 bits on CUDA, or in bfloat16; left out, it is "tf32" on CUDA and "float32" on the CPU.',
    ),
  textEncoders: z
    .enum(['whole', 'sliced'])
    .optional()
    .describe(
      'With "sliced", one block of the largest text encoder is on the device at a time while prompts are encoded, ' +
        'where memory is short: the embeddings are the same, and all of its weights go to a GPU for each 16 prompts; ' +
        'left out, it is "whole".',
    ),
  negativePrompt: z
    .string()
    .optional()
    .describe('Guidance leads away from this prompt, where the model knows such prompts; left out, the empty one.'),
};

const settingsSchema = z.object(modelSettings);
export type ModelSettings = z.output<typeof settingsSchema>;

/**
 * The adapter that is trained, completed where the settings say little or nothing of it.
 * @param complete fills in what an adapter leaves out
 * @param isKnown whether the model is one that takes an adapter, and need not be there
 * @returns undefined for a model that trains its own parameters
 * @throws ConfigError for an adapter of such a model, CheckpointError where there is no model, what `complete` throws
 */
export async function trainedAdapter<Given extends object, Whole>(
  { model, adapter }: { model: ModelSource; adapter?: Given | undefined },
  complete: (adapter: Given | Record<string, never>) => Whole | Promise<Whole>,
  isKnown = false,
): Promise<Whole | undefined> {
  if (isKnown || (await takesAdapter(model))) return complete(adapter ?? {});
  if (adapter === undefined) return undefined;
  throw new ConfigError('adapter: this model takes none, its own parameters are trained: leave it out');
}

/** An adapter of the default rank and alpha where it says nothing of them. */
export const completeAdapter = (adapter: z.input<typeof adapterSchema>) => adapterSchema.parse(adapter);

/** Loads the model of a configuration, with the adapter to train. */
export function loadConfiguredModel(
  settings: Omit<ModelSettings, 'negativePrompt'>,
  options: Pick<LoadModelOptions, 'device' | 'seed'> = {},
): Promise<Model> {
  const { model, device, dtype, adapter, image, checkpointing, textLength, decoder, textEncoders } = settings;
  const trained = adapter && {
    rank: adapter.rank,
    alpha: adapter.alpha,
    targets: adapter.targets,
    fold: adapter.fold,
  };
  const own = { device, dtype, adapter: trained, size: image, checkpointing, textLength, decoder, textEncoders };
  return loadModel(model, { ...own, ...options });
}

/** Settings that say how samples are drawn, with the model's own choice where they leave it out. */
export function withDrawing<Settings extends { [Key in keyof Drawing]?: Drawing[Key] | undefined }>(
  settings: Settings,
  own: Drawing,
): Settings & Drawing {
  const { steps = own.steps, solver = own.solver, guidance = own.guidance } = settings;
  return { ...settings, steps, solver, guidance };
}
