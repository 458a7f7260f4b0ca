import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { replaceFile } from '../../files/checkpoints.js';
import { CheckpointError } from '../../errors.js';
import type { SampleRewards } from '../../training/measured-model.js';

/** The file beside evaluation.json. */
export const samplesFile = 'evaluation-samples.json';

const column = z.array(z.number().nullable());
/** One model's rewards as JSON holds them: null is a number that is not finite. */
export const rewardColumns = z.strictObject({ reward: column, rewards: z.record(z.string(), column) });

const rowNumbers = z.array(z.int().min(0));
const samplesSchema = z
  .strictObject({
    format: z.literal(1),
    seed: z.string().regex(/^\d+$/),
    prompts: z.array(z.string()),
    prompt: rowNumbers,
    before: rewardColumns,
    after: rewardColumns,
    examples: z.strictObject({
      rewards: z.array(z.strictObject({ name: z.string(), best: rowNumbers, worst: rowNumbers })),
      prompts: z.array(z.strictObject({ prompt: z.int().min(0), best: z.int().min(0), worst: z.int().min(0) })),
    }),
  })
  .refine(({ prompts, prompt, before, after }) => {
    const columns = [before, after].flatMap(({ reward, rewards }) => [reward, ...Object.values(rewards)]);
    return prompt.every((at) => at < prompts.length) && columns.every(({ length }) => length === prompt.length);
  }, 'expected as many rewards in each column as samples, and the number of a prompt for each');

/** An evaluation's figures of every sample, and the list of samples whose images are kept. */
export interface EvaluatedSamples {
  /** The noise of sample i is that of sample i of this seed, in decimal digits. */
  seed: string;
  /** Every prompt once. */
  prompts: string[];
  /** The number of each sample's prompt in `prompts`. */
  prompt: number[];
  before: SampleRewards;
  after: SampleRewards;
  examples: {
    /** For each reward, the samples whose images after training were best and worst, the most extreme first. */
    rewards: { name: string; best: number[]; worst: number[] }[];
    /** For each of the first prompts, the samples with the highest and with the lowest reward after training. */
    prompts: { prompt: number; best: number; worst: number }[];
  };
}

/** Writes what an evaluation found of every sample into a run's folder. */
export async function writeSamples(directory: string, samples: EvaluatedSamples): Promise<void> {
  const [before, after] = [columnsOf(samples.before), columnsOf(samples.after)];
  const json = JSON.stringify({ format: 1, ...samples, before, after });
  await replaceFile(join(directory, samplesFile), `${json}\n`);
}

/**
 * Reads what {@link writeSamples} wrote.
 * @returns undefined where there is none
 * @throws CheckpointError for anything else
 */
export async function readSamples(directory: string): Promise<EvaluatedSamples | undefined> {
  const path = join(directory, samplesFile);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new CheckpointError(`cannot read ${path}: ${error.message}`, { cause: error });
  });
  if (text === undefined) return undefined;
  try {
    const { format: _, before, after, ...samples } = samplesSchema.parse(JSON.parse(text));
    return { ...samples, before: rewardsOf(before), after: rewardsOf(after) };
  } catch (error) {
    throw new CheckpointError(`${path} does not hold an evaluation's samples: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Rewards as JSON holds them, each with as few digits as make the same number in single precision. */
export const columnsOf = ({ reward, rewards }: SampleRewards): z.input<typeof rewardColumns> => ({
  reward: reward.map(shortest),
  rewards: Object.fromEntries(Object.entries(rewards).map(([name, values]) => [name, values.map(shortest)])),
});

/** Gives the rewards that {@link columnsOf} was given, to the bit. */
export const rewardsOf = ({ reward, rewards }: z.output<typeof rewardColumns>): SampleRewards => ({
  reward: reward.map(single),
  rewards: Object.fromEntries(Object.entries(rewards).map(([name, values]) => [name, values.map(single)])),
});

const single = (value: number | null): number => (value === null ? NaN : Math.fround(value));

function shortest(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  // Nine digits tell every number of single precision from its neighbours.
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
}
