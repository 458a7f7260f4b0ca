import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import type { Drawing } from '../../models/model.js';
import { drawingOf } from '../../models/registry.js';
import { judgeSchema } from '../../rewards/registry.js';
import { timeDistributions, type SolverName } from '../../runtime/native/choices.generated.js';
import { promptsOrFileSchema } from '../../schema/prompts.js';
import { expected, validate } from '../../schema/validate.js';
import { checkpointsSchema, drawingSettings, optimizerSchema, samplesSchema, seed } from '../../training/settings.js';
import { modelSettings, withAdapter, withDrawing } from '../settings/model.js';

/** How the student's images are drawn to be looked at: at guidance 1, and as the teacher's where nobody says. */
const { guidance: _, ...studentDrawing } = drawingSettings;

/** `eam distill`'s configuration. */
export const distillSchema = z.strictObject({
  ...modelSettings,
  /** A list, or a file of them. */
  prompts: promptsOrFileSchema,
  /** How the pretrained model draws what is learned; what is left out is the model's own choice. */
  teacher: z.strictObject(drawingSettings).prefault({}),
  /** Times of one step at which the student is regressed on each sample of the teacher. */
  timesEach: z.int().min(1).default(8),
  /** The times are drawn from this. */
  timeDistribution: z.enum(timeDistributions).default('logit_normal'),
  /** At most this many renoised samples an evaluation of the student; 0: all of a step. */
  microBatch: z.int().min(0).default(0),
  optimizer: optimizerSchema.prefault({
    learningRate: 1e-3,
    emaDecay: 0.99,
    warmup: 10,
    schedule: 'cosine',
    floor: 0.1,
  }),
  steps: z.int().min(1).default(500),
  /** Samples of the teacher a step. */
  batch: z.int().min(1).default(16),
  seed,
  checkpoints: checkpointsSchema.prefault({}),
  samples: samplesSchema.omit({ guidance: true }).prefault({}),
  /** Left out: nothing is measured at the end. */
  evaluation: z
    .strictObject({
      ...studentDrawing,
      /** Images of each model. */
      count: z.int().min(2).default(512),
      /** Their noise is drawn with this seed. */
      seed: seed.default(2),
      /** Reads the images. */
      judge: judgeSchema,
    })
    .optional(),
  output: z.string().min(1).default('runs/distill'),
});

/**
 * Checks a configuration and fills in what it leaves out.
 * @throws ConfigError for one that is not valid or has nothing to distil, CheckpointError where there is no such model
 */
export async function readDistillConfig(config: unknown) {
  const {
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
    ...(await withAdapter(settings)),
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

export type DistillConfig = Awaited<ReturnType<typeof readDistillConfig>>;
