import { z } from 'zod';

import { modelKinds, typeOfModel } from '../../models/kinds.js';
import type { Pretraining } from '../../models/pretraining.js';
import { rewardKinds } from '../../rewards/kinds.js';
import { schemaAddress } from '../../schema/configuration.js';
import { validate } from '../../schema/validate.js';
import { checkpointsSchema, device, optimizerSchema, samplesSchema, seed } from '../../training/settings.js';
import { loggingSchema } from '../logging/settings.js';
import { withDrawing } from '../settings/model.js';

/** What every pretraining is told. */
const common = {
  $schema: schemaAddress,
  device: device.default('auto'),
  optimizer: optimizerSchema.describe('AdamW updates the network, with these settings.'),
  steps: z.int().min(1).describe('The run takes this many training steps.'),
  batch: z.int().min(1).default(64).describe('A step takes this many images.'),
  seed: seed.describe('Everything random in training is drawn from this seed.'),
  checkpoints: checkpointsSchema.prefault({ every: 500 }).describe('Checkpoints are written as this says.'),
  storage: z
    .enum(['float32', 'float16'])
    .default('float32')
    .describe('The weights are stored in model.safetensors as this type.'),
  logging: loggingSchema,
  output: z.string().min(1).describe('The model and the records of its run are written into this folder.'),
};
const commonSchema = z.strictObject(common);
const drawnSamples = samplesSchema.prefault({}).describe('Grids of samples are drawn as this says.');

export type PretrainJobSettings = Omit<z.output<typeof commonSchema>, '$schema'> & {
  model: unknown;
  /** Left out where none are drawn. */
  samples?: undefined | Awaited<ReturnType<typeof drawn>>;
};

const drawn = async (settings: z.output<typeof drawnSamples>, recipe: Pretraining, model: unknown) =>
  withDrawing(settings, (await recipe.drawingOf?.(model)) ?? recipe.drawing!);

/** Every recipe, by the "type" of the model that it trains. */
const recipes: ReadonlyMap<string, Pretraining> = new Map(
  [...modelKinds, ...rewardKinds].flatMap(({ pretraining }) => (pretraining ? [[pretraining.type, pretraining]] : [])),
);

const schemaOf = (recipe: Pretraining) =>
  z.strictObject({
    model: recipe.model.describe('This network is trained.'),
    ...common,
    ...recipe.settings,
    ...(recipe.drawing && { samples: drawnSamples }),
  });

/** `eam pretrain`'s configuration, which is that of one of the recipes. */
export const pretrainSchema = z.union(Array.from(recipes.values(), schemaOf));

/** Whether a run's record is of this recipe. */
export const isRecordOf = (recipe: Pretraining, json: unknown): boolean => schemaOf(recipe).safeParse(json).success;

/** A configuration whose model says of what type it is. */
function withType(config: unknown): unknown {
  const { model } = (config ?? {}) as { model?: unknown };
  if (typeof model !== 'object' || model === null) return config;
  return { ...(config as object), model: { ...model, type: typeOfModel(model) } };
}

/** @throws ConfigError for a configuration that is not valid */
export async function readPretrainConfig(config: unknown) {
  const source = 'pretrain configuration';
  const kindSchema = z.object({ model: z.object({ type: z.enum([...recipes.keys()]) }) });
  const typed = withType(config);
  const recipe = recipes.get(validate(kindSchema, typed, source).model.type)!;
  const { $schema: _, ...checked } = validate(schemaOf(recipe), typed, source) as z.output<typeof commonSchema> & {
    model: unknown;
    samples?: z.output<typeof drawnSamples>;
  };
  const { model, samples } = checked;
  const settings: PretrainJobSettings = { ...checked, samples: samples && (await drawn(samples, recipe, model)) };
  return { recipe, settings };
}
