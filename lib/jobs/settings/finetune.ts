import { z } from 'zod';

import { algorithmSchema } from '../../training/algorithms.js';
import type { Drawing } from '../../models/model.js';
import { withStandIns } from '../../rewards/made.js';
import { rewardSchema } from '../../rewards/registry.js';
import { drawingOf } from '../../models/registry.js';
import { stopWhenSchema } from '../../training/panel/limits.js';
import { checkpointsSchema, optimizerSchema, samplesSchema, seed } from '../../training/settings.js';
import { loggingSchema } from '../logging/settings.js';
import { watchingEvaluationSchema } from './evaluation.js';
import { panelSchema, withRollout } from './panel.js';
import { modelSettings, startedAdapter, trainedAdapter, withDrawing } from './model.js';
import { withStart } from './start.js';
import { schemaAddress } from '../../schema/configuration.js';
import { promptsOrFileSchema } from '../../schema/prompts.js';
import { validate } from '../../schema/validate.js';

/** `eam finetune`'s configuration. */
export const finetuneSchema = z.strictObject({
  $schema: schemaAddress,
  ...modelSettings,
  model: modelSettings.model.meta({ also: 'Model' }),
  adapter: startedAdapter,
  prompts: promptsOrFileSchema.describe('The prompts are these: a list, or the path of a file of them.'),
  rewards: z.array(rewardSchema).min(1).describe('Images are trained towards the weighted sum of these rewards.'),
  algorithm: algorithmSchema.describe('This algorithm trains, with its options.'),
  optimizer: optimizerSchema.describe('AdamW updates the adapter, with these settings.'),
  steps: z.int().min(1).describe('The run takes this many training steps.'),
  batch: z.int().min(1).default(32).describe('A step draws this many samples.'),
  seed: seed.describe('Everything random in training is drawn from this seed.'),
  checkpoints: checkpointsSchema.prefault({}).describe('Checkpoints are written as this says.'),
  samples: samplesSchema.prefault({}).describe('Grids of samples are drawn as this says.'),
  panel: panelSchema
    .prefault({})
    .describe('What no reward sees is measured as this says, and compared with the pretrained model.'),
  stopWhen: stopWhenSchema
    .optional()
    .describe(
      'The run stops where the panel crosses one of these limits, such as { "diversity": "< 0.7×" }: <, > or ±, and ' +
        "a number of σ, of times × the pretrained model's mean, or alone. With false a measure is no alarm. " +
        'Left out, alarms are told and nothing stops the run.',
    ),
  evaluation: watchingEvaluationSchema
    .optional()
    .describe('The model is evaluated before and after, as this says; left out, it is not.'),
  logging: loggingSchema,
  output: z.string().min(1).default('runs/finetune').describe('The run is written into this folder.'),
});

/**
 * Checks a configuration and fills in what it leaves out: with constants, how samples are drawn with the model's
 * choice, and the adapter as that which it starts from.
 * @param drawing the model's choice, for a model that is not there
 * @throws ConfigError for one that is not valid, CheckpointError where there is no such model, or adapter to
 *   start from
 */
export async function readFinetuneConfig(config: unknown, source: string, drawing?: Drawing) {
  const { $schema: _, samples, evaluation, panel, ...settings } = validate(finetuneSchema, config, source);
  const own = drawing ?? (await drawingOf(settings.model));
  return {
    ...settings,
    adapter: await trainedAdapter(settings, withStart, drawing !== undefined),
    samples: withDrawing(samples, own),
    panel: withRollout(panel, settings.algorithm),
    ...(evaluation && { evaluation: withDrawing(evaluation, own) }),
  };
}

/** Whether JSON is the record of a run of `eam finetune`. */
export const isFinetuneRecord = (json: unknown): boolean => finetuneSchema.safeParse(withStandIns(json)).success;

export type FinetuneSettings = Awaited<ReturnType<typeof readFinetuneConfig>>;
