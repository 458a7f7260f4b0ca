import { z } from 'zod';

import { modelKinds, typeOfModel } from '../../models/kinds.js';
import type { Pretraining } from '../../models/pretraining.js';
import { rewardKinds } from '../../rewards/kinds.js';
import { validate } from '../../schema/validate.js';
import { checkpointsSchema, device, optimizerSchema, samplesSchema, seed } from '../../training/settings.js';
import { withDrawing } from '../settings/model.js';

/** What every pretraining is told. */
const common = {
  device: device.default('auto'),
  optimizer: optimizerSchema,
  steps: z.int().min(1),
  batch: z.int().min(1).default(64),
  seed,
  checkpoints: checkpointsSchema.prefault({ every: 500 }),
  /** How the weights are stored in model.safetensors. */
  storage: z.enum(['float32', 'float16']).default('float32'),
  output: z.string().min(1),
};
const commonSchema = z.strictObject(common);
const samples = samplesSchema.prefault({});

export type PretrainConfig = z.output<typeof commonSchema> & {
  model: unknown;
  /** Left out where none are drawn. */
  samples?: ReturnType<typeof drawn>;
};

const drawn = (settings: z.output<typeof samples>, recipe: Pretraining) => withDrawing(settings, recipe.drawing!);

/** Every recipe, by the "type" of the model that it trains. */
const recipes: ReadonlyMap<string, Pretraining> = new Map(
  [...modelKinds, ...rewardKinds].flatMap(({ pretraining }) => (pretraining ? [[pretraining.type, pretraining]] : [])),
);

const schemaOf = (recipe: Pretraining) =>
  z.strictObject({
    model: recipe.model,
    ...common,
    ...recipe.settings,
    ...(recipe.drawing && { samples }),
  });

/** Whether a run's record is of this recipe. */
export const isRecordOf = (recipe: Pretraining, json: unknown): boolean => schemaOf(recipe).safeParse(json).success;

/** A configuration whose model says of what type it is. */
function withType(config: unknown): unknown {
  const { model } = (config ?? {}) as { model?: unknown };
  if (typeof model !== 'object' || model === null) return config;
  return { ...(config as object), model: { ...model, type: typeOfModel(model) } };
}

/** @throws ConfigError for a configuration that is not valid */
export function readPretrainConfig(config: unknown): { recipe: Pretraining; settings: PretrainConfig } {
  const source = 'pretrain configuration';
  const kindSchema = z.object({ model: z.object({ type: z.enum([...recipes.keys()]) }) });
  const typed = withType(config);
  const recipe = recipes.get(validate(kindSchema, typed, source).model.type)!;
  const checked = validate(schemaOf(recipe), typed, source) as z.output<typeof commonSchema> & {
    model: unknown;
    samples?: z.output<typeof samples>;
  };
  const settings = { ...checked, ...(checked.samples && { samples: drawn(checked.samples, recipe) }) };
  return { recipe, settings: settings as PretrainConfig };
}
