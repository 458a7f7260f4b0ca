import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { flowSettings } from '../../models/flow-task.js';
import type { Drawing } from '../../models/model.js';
import { drawingOf } from '../../models/registry.js';
import { judgeSchema } from '../../rewards/registry.js';
import type { SolverName } from '../../runtime/native/choices.generated.js';
import { schemaAddress } from '../../schema/configuration.js';
import { promptsOrFileSchema } from '../../schema/prompts.js';
import { expected, validate } from '../../schema/validate.js';
import {
  checkpointsSchema,
  drawingSettings,
  drawnAs,
  optimizerSchema,
  samplesSchema,
  seed,
} from '../../training/settings.js';
import { loggingSchema } from '../logging/settings.js';
import { completeAdapter, modelSettings, trainedAdapter, withDrawing } from '../settings/model.js';

/** How the student's images are drawn to be looked at: at guidance 1, and as the teacher's where nobody says. */
const { guidance: _, ...studentDrawing } = drawnAs("the teacher's");

/** `eam distill`'s configuration. */
export const distillSchema = z.strictObject({
  $schema: schemaAddress,
  ...modelSettings,
  prompts: promptsOrFileSchema.describe('The prompts are these: a list, or the path of a file of them.'),
  teacher: z
    .strictObject(drawingSettings)
    .prefault({})
    .describe('The pretrained model draws what is learned as this says.'),
  timesEach: z
    .int()
    .min(1)
    .default(8)
    .describe('The student is regressed on each sample of the teacher at this many times of one step.'),
  timeDistribution: flowSettings.timeDistribution,
  microBatch: z
    .int()
    .min(0)
    .default(0)
    .describe('An evaluation of the student takes at most this many renoised samples; with 0 it takes all of a step.'),
  optimizer: optimizerSchema
    .prefault({
      learningRate: 1e-3,
      emaDecay: 0.99,
      warmup: 10,
      schedule: 'cosine',
      floor: 0.1,
    })
    .describe('AdamW updates the adapter, with these settings.'),
  steps: z.int().min(1).default(500).describe('The run takes this many training steps.'),
  batch: z.int().min(1).default(16).describe('A step draws this many samples of the teacher.'),
  seed: seed.describe('Everything random in training is drawn from this seed.'),
  checkpoints: checkpointsSchema.prefault({}).describe('Checkpoints are written as this says.'),
  samples: samplesSchema
    .omit({ guidance: true })
    .extend(studentDrawing)
    .prefault({})
    .describe("Grids of the student's samples are drawn as this says, without guidance."),
  evaluation: z
    .strictObject({
      ...studentDrawing,
      count: z.int().min(2).default(512).describe('Each model draws this many images.'),
      seed: seed.default(2).describe('Their noise is drawn from this seed.'),
      judge: judgeSchema.describe('This judge reads the images.'),
    })
    .optional()
    .describe('How alike student and teacher draw is measured at the end, as this says; left out, it is not.'),
  logging: loggingSchema,
  output: z.string().min(1).default('runs/distill').describe('The run is written into this folder.'),
});

/**
 * Checks a configuration and fills in what it leaves out.
 * @throws ConfigError for one that is not valid or has nothing to distil, CheckpointError where there is no such model
 */
export async function readDistillConfig(config: unknown) {
  const {
    $schema: __,
    teacher: drawing,
    samples,
    evaluation,
    ...settings
  } = validate(distillSchema, config, 'distill configuration');
  const own = await drawingOf(settings.model);
  const teacher = withDrawing(drawing, own);
  if (teacher.guidance === 1) {
    const whose = drawing.guidance === undefined ? ", the model's own" : '';
    throw new ConfigError(
      `${expected('teacher.guidance', 'a number other than 1', 1)}${whose}: without guidance the model draws these ` +
        'samples already; set the guidance that you draw with, such as --guidance 4.5',
    );
  }
  return {
    ...settings,
    adapter: await trainedAdapter(settings, completeAdapter),
    teacher,
    samples: drawnLike(teacher, samples),
    ...(evaluation && { evaluation: drawnLike(teacher, evaluation) }),
  };
}

/** Settings of the student's drawing, with the teacher's where they leave it out. */
function drawnLike<Settings extends { steps?: number | undefined; solver?: SolverName | undefined }>(
  teacher: Drawing,
  settings: Settings,
) {
  const { steps = teacher.steps, solver = teacher.solver } = settings;
  return { ...settings, steps, solver };
}

export type DistillSettings = Awaited<ReturnType<typeof readDistillConfig>>;
