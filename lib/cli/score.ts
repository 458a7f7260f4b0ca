import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { ConfigError } from '../errors.js';
import type { SolverName } from '../runtime/ode-solver.js';
import { checkOutput } from '../files/output-path.js';
import { observe, silent, type JobObserver } from '../jobs/progress.js';
import { createRewardList, parseReward } from '../rewards/registry.js';
import type { Reward } from '../rewards/reward.js';
import { pairImages } from '../jobs/evaluate/pairs.js';
import { readPromptFile } from '../jobs/evaluate/prompt-file.js';
import { ScoreBook } from '../jobs/evaluate/score-book.js';
import { scoreImages } from '../jobs/evaluate/score-images.js';
import { repeated, scoreSamples } from '../jobs/evaluate/score-samples.js';
import { summaryTable, type SampleScores } from '../jobs/evaluate/summary.js';
import { openModel, type ModelFlags } from './sample.js';

/** Of `eam evaluate` without a run's directory. */
export interface ScoreFlags extends ModelFlags {
  images?: string;
  prompts?: string;
  reward: string[];
  out?: string;
  asReference?: boolean;
  samples?: number;
  negative?: string;
  seed?: number;
  steps?: number;
  solver?: SolverName;
  guidance?: number;
  batch?: number;
  json?: boolean;
  quiet?: boolean;
}

const defaultBatch = 8;

/** Scores a folder of PNGs. */
export async function runScoreImages(folder: string, flags: ScoreFlags, signal: AbortSignal): Promise<void> {
  const { device = 'cpu', batch = defaultBatch, asReference: bytes = false } = flags;
  const pairs = await pairImages(folder, promptsOf(flags));
  await run(
    flags,
    pairs.map(({ prompt }) => prompt),
    (book) => scoreImages(book, pairs, { device, batch, bytes, signal }),
  );
}

/** Scores what a model draws. */
export async function runScoreSamples(flags: ScoreFlags, signal: AbortSignal): Promise<void> {
  if (flags.asReference)
    throw new ConfigError('--as-reference: samples are not files; draw them into PNGs and give --images');
  const { samples = 4, seed = 0, negative } = flags;
  const prompts = readPromptFile(promptsOf(flags)).map(({ prompt }) => prompt);
  const note = (message: string) => void (flags.quiet || process.stderr.write(`${message}\n`));
  await run(flags, repeated({ prompts, samples }), async function* (book) {
    const { model: opened } = await openModel(flags, note);
    using model = opened;
    const {
      steps = model.sampling.steps,
      solver = model.sampling.solver,
      guidance = model.sampling.guidance,
      batch = model.sampling.batch,
    } = flags;
    yield* scoreSamples(book, model, {
      prompts,
      samples,
      seed: BigInt(seed),
      steps,
      solver,
      guidance,
      negativePrompt: negative,
      batch,
      onNote: note,
      signal,
    });
  });
}

function promptsOf({ prompts }: ScoreFlags): string {
  if (prompts === undefined) throw new ConfigError('evaluate: expected --prompts, a file of one prompt a line');
  return prompts;
}

async function run(
  flags: ScoreFlags,
  prompts: readonly string[],
  scores: (book: ScoreBook) => AsyncGenerator<SampleScores[]>,
): Promise<void> {
  const { out, device = 'cpu', asReference = false } = flags;
  if (out !== undefined) await checkOutput(out, 'file');
  const observer: JobObserver = flags.quiet ? silent : observe();
  const rewards = await createRewardList(flags.reward.map(parseReward), device, {
    asReference,
    onNote: (message) => observer.note(message),
  });
  const book = new ScoreBook(
    rewards.map(([reward]) => reward),
    prompts,
  );
  if (rewards.some(([, weight]) => weight !== 1))
    observer.note('weights are left aside: each reward is scored by itself');
  if (out !== undefined) {
    try {
      await mkdir(dirname(out), { recursive: true });
      // What is there stays until there are scores.
      await appendFile(out, '');
    } catch (error) {
      throw new ConfigError(`--out ${out}: it cannot be written: ${(error as Error).message}`, { cause: error });
    }
  }
  observer.begin(prompts.length, 0, 'image');
  let done = 0;
  try {
    for await (const batch of scores(book)) {
      if (out !== undefined)
        await writeFile(out, batch.map((sample) => `${JSON.stringify(sample)}\n`).join(''), { flag: done ? 'a' : 'w' });
      observer.advance((done += batch.length), {});
    }
  } finally {
    observer.end();
  }
  noteTruncated(
    rewards.map(([reward]) => reward),
    observer,
  );
  const summary = await book.summary();
  process.stdout.write(`${flags.json ? JSON.stringify(summary, null, 2) : summaryTable(summary)}\n`);
}

function noteTruncated(rewards: readonly Reward[], observer: JobObserver): void {
  for (const reward of rewards) {
    const count = 'truncatedPrompts' in reward ? Number(reward.truncatedPrompts) : 0;
    if (count)
      observer.note(
        `${reward.name}: ${count} ${count === 1 ? 'prompt was' : 'prompts were'} longer than its window, and cut`,
      );
  }
}
