import { z } from 'zod';

import { algorithmSchema } from '../../training/algorithms.js';
import { drawingOf } from '../../models/registry.js';
import { drawingSettings, optimizerSchema, samplesSchema, seed } from '../../training/settings.js';
import { loggingSchema } from '../logging/settings.js';
import { evaluationSchema } from '../settings/evaluation.js';
import { finetuneSchema } from '../settings/finetune.js';
import { completeAdapter, modelSettings, trainedAdapter, withDrawing } from '../settings/model.js';
import { slugOf } from '../text.js';
import { schemaAddress } from '../../schema/configuration.js';
import { validate } from '../../schema/validate.js';

const exactlyOne = 'expected either "steps" or "evaluations"';

/** This is how long a run is: `evaluations` counts forwards, vector–Jacobian products and backwards. */
const budgetSchema = z
  .strictObject({
    steps: z
      .int()
      .min(1)
      .optional()
      .describe('A run takes this many training steps; left out, `evaluations` says how many.'),
    evaluations: z
      .int()
      .min(1)
      .optional()
      .describe(
        'A run takes as many steps as this many network evaluations of all kinds pay for; left out, `steps` says it.',
      ),
  })
  .refine(({ steps, evaluations }) => (steps === undefined) !== (evaluations === undefined), exactlyOne);

const optimizer = optimizerSchema.omit({ learningRate: true });

const contenderSchema = z.strictObject({
  name: z.string().min(1).describe('Tables and plots call the contender by this name.'),
  algorithm: algorithmSchema.optional().describe("The algorithm's name and its options; left out with bestOf."),
  bestOf: z
    .int()
    .min(2)
    .max(1000)
    .optional()
    .describe(
      'In place of an algorithm: nothing is trained, and for each image that is measured the pretrained model draws ' +
        'so many, of which the one with the highest reward is taken; left out, the contender trains.',
    ),
  learningRate: z
    .number()
    .gt(0)
    .optional()
    .describe("AdamW's learning rate at its highest; the best of the sweep where it is left out."),
  optimizer: optimizer
    .optional()
    .describe('These options of the optimizer stand in place of the common ones, which hold for what is left out.'),
  batch: z.int().min(1).optional().describe('A step draws this many samples; left out, the common number.'),
  budget: budgetSchema.optional().describe('Each of its runs may cost this much; left out, the common budget.'),
});

const { prompts, rewards } = finetuneSchema.shape;

/** This is what the configuration of `eam compare` may hold. */
export const compareSchema = z
  .strictObject({
    $schema: schemaAddress,
    ...modelSettings,
    prompts,
    rewards,
    contenders: z
      .array(contenderSchema)
      .min(2)
      .max(12)
      .describe("The algorithms that are compared; the first one's speed-up over each of the others is stated."),
    optimizer: optimizer.prefault({}).describe('Every contender has this optimizer, but for the learning rate.'),
    batch: z.int().min(1).default(32).describe('A step draws this many samples.'),
    budget: budgetSchema.describe("Each of a contender's runs may cost this much."),
    seeds: z
      .array(seed.unwrap())
      .min(1)
      .default([1, 2, 3, 4, 5])
      .describe('Every contender runs once with each of these seeds.'),
    sweep: z
      .strictObject({
        learningRates: z.array(z.number().gt(0)).min(1).describe('These learning rates are tried.'),
        budget: budgetSchema.describe('Each run of the sweep may cost this much.'),
        seed: seed.default(1000).describe("The sweep's runs have this seed, which had better be none of `seeds`."),
        accuracyLoss: z
          .number()
          .min(0)
          .max(1)
          .default(1)
          .describe(
            'A rate after which the judge recognises fewer images by more than this fraction of all is not taken.',
          ),
      })
      .optional()
      .describe(
        'Every contender runs briefly at every rate, and the rate with the highest reward at the end is taken; left ' +
          'out, every contender says its own.',
      ),
    tracking: z
      .strictObject({
        points: z.int().min(1).default(12).describe('A run is measured this many times, evenly spread over its steps.'),
        ...drawingSettings,
        count: z.int().min(2).default(128).describe('The set has this many images.'),
        seed: seed.default(3).describe('Their noise is drawn from this seed.'),
      })
      .prefault({})
      .describe(
        'Curves are measured on this set: fixed noise, averaged weights. What it costs is counted in none of the axes.',
      ),
    evaluation: evaluationSchema
      .omit({ examples: true })
      .prefault({})
      .describe(
        'Each run is evaluated at its end, on a set of its own; the judge given here measures the curves, too.',
      ),
    samples: samplesSchema.omit({ every: true }).prefault({}).describe('The report shows these grids of images.'),
    logging: loggingSchema,
    output: z.string().min(1).default('runs/compare').describe('Everything is written into this folder.'),
  })
  .superRefine(({ contenders, seeds, sweep }, context) => {
    const refuse = (path: PropertyKey[], message: string) => context.addIssue({ code: 'custom', path, message });
    const lambda = contenders[0]!.algorithm?.lambda;
    for (const [index, contender] of contenders.entries()) {
      const path = ['contenders', index];
      const twin = contenders.findIndex(({ name }) => folderOf(name) === folderOf(contender.name));
      if (twin < index)
        refuse([...path, 'name'], `expected a name unlike contenders[${twin}]'s, whose folder it would share`);
      if ((contender.algorithm === undefined) === (contender.bestOf === undefined))
        refuse(path, 'expected either "algorithm" or "bestOf"');
      if (contender.bestOf !== undefined) {
        if (index === 0)
          refuse([...path, 'bestOf'], 'expected none of contenders[0]: it trains, the others are set against it');
        for (const key of ['learningRate', 'optimizer', 'batch', 'budget'] as const)
          if (contender[key] !== undefined) refuse([...path, key], 'expected none beside bestOf, which trains nothing');
        continue;
      }
      if (contender.algorithm === undefined) continue;
      if (lambda !== undefined && contender.algorithm.lambda !== lambda) {
        refuse(
          [...path, 'algorithm', 'lambda'],
          `expected ${lambda}, the reward scale of contenders[0]: others have another optimum`,
        );
      }
      if ('endpoints' in contender.algorithm && contender.algorithm.endpoints === 'pretrained') {
        refuse(
          [...path, 'algorithm', 'endpoints'],
          'expected "current": evaluations are compared step by step, and those of pretrained endpoints come before',
        );
      }
      if (contender.learningRate === undefined && !sweep)
        refuse([...path, 'learningRate'], 'expected a number, or a "sweep" to find it');
    }
    if (new Set(seeds).size < seeds.length) refuse(['seeds'], 'expected each seed once');
  });

/**
 * Checks a configuration and fills in what it leaves out: with constants, and how samples are drawn with the model's
 * choice.
 * @throws ConfigError for one that is not valid, CheckpointError where there is no such model
 */
export async function readCompareConfig(config: unknown) {
  const {
    $schema: _,
    tracking,
    evaluation,
    samples,
    ...settings
  } = validate(compareSchema, config, 'compare configuration');
  const own = await drawingOf(settings.model);
  return {
    ...settings,
    adapter: await trainedAdapter(settings, completeAdapter),
    /** The evaluation set of the curves. */
    tracking: withDrawing(tracking, own),
    /** The evaluation set of the final figures. */
    evaluation: withDrawing(evaluation, own),
    /** The grids of images in the report. */
    samples: withDrawing(samples, own),
  };
}

export type CompareSettings = Awaited<ReturnType<typeof readCompareConfig>>;
export type Contender = CompareSettings['contenders'][number];
/** One that is fine-tuned. */
export type TrainedContender = Contender & { algorithm: NonNullable<Contender['algorithm']> };
export const isTrained = (contender: Contender): contender is TrainedContender => contender.algorithm !== undefined;
export type Budget = z.output<typeof budgetSchema>;

/** A contender's name as part of a path. */
export const folderOf = (name: string): string => slugOf(name) || 'contender';
