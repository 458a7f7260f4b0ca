import { z } from 'zod';

import { digitsConfigSchema } from '../../models/digits/model.js';
import { digitClassifierConfigSchema } from '../../rewards/digit-classifier.js';
import { checkpointsSchema, device, optimizerSchema, samplesSchema, seed } from '../../training/settings.js';

const dataSchema = z.strictObject({
  name: z.literal('mnist').default('mnist'),
  /** Images kept out of training, for the accuracy that is printed. */
  heldOut: z.int().min(0).default(1000),
  /** Images are shifted by up to this many pixels either way. */
  shift: z.int().min(0).default(0),
  /** Each image gets Gaussian noise of a standard deviation drawn from [0, noise], in units where white is 1. */
  noise: z.number().min(0).lt(1).default(0),
});

const common = {
  device,
  data: dataSchema.prefault({}),
  optimizer: optimizerSchema,
  steps: z.int().min(1),
  batch: z.int().min(1).default(64),
  seed,
  checkpoints: checkpointsSchema.prefault({ every: 500 }),
  /** How the weights are stored in model.safetensors. */
  storage: z.enum(['float32', 'float16']).default('float32'),
  output: z.string().min(1),
};

export const pretrainDigitsSchema = z.strictObject({
  model: digitsConfigSchema,
  ...common,
  data: dataSchema.omit({ noise: true }).prefault({}),
  /** Fraction of labels dropped, so that the model also learns to draw unconditionally. */
  labelDropout: z.number().min(0).max(1).default(0.1),
  timeDistribution: z.enum(['uniform', 'logit_normal']).default('logit_normal'),
  samples: samplesSchema.prefault({}),
});

export const pretrainClassifierSchema = z.strictObject({
  model: digitClassifierConfigSchema,
  ...common,
  labelSmoothing: z.number().min(0).lt(1).default(0),
});

export type PretrainDigitsConfig = z.output<typeof pretrainDigitsSchema>;
export type PretrainClassifierConfig = z.output<typeof pretrainClassifierSchema>;
