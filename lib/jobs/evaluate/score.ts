import { appendFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { ConfigError } from '../../errors.js';
import { checkOutput } from '../../files/output-path.js';
import { createRewardList, parseReward } from '../../rewards/registry.js';
import type { Reward } from '../../rewards/reward.js';
import { chooseDevice } from '../../runtime/device.js';
import type { SolverName } from '../../runtime/ode-solver.js';
import { openAdaptedModel, type ModelChoice } from '../adapted-model.js';
import type { JobObserver } from '../progress.js';
import { pairImages } from './pairs.js';
import { readPromptFile } from './prompt-file.js';
import { ScoreBook } from './score-book.js';
import { scoreImages } from './score-images.js';
import { repeated, scoreSamples } from './score-samples.js';
import { refuseSkipped, type SampleScores, type ScoreSummary } from './summary.js';
import { makeDirectory } from '../../runtime/make-directory.js';

/** What images are scored by, and where their scores go. */
export interface ScoreSettings {
  /** A file of prompts, as `readPromptFile` reads it. */
  prompts: string;
  /** Each as `parseReward` reads it; each is scored by itself. */
  rewards: readonly string[];
  /** A line of JSON for each image goes in here. */
  out?: string | undefined;
  device?: string | undefined;
  batch?: number | undefined;
}

/** What a model is asked to draw, to be scored; what is left out is the model's own choice. */
export interface ScoredDrawing extends ModelChoice {
  /** Images a prompt; default 4. */
  samples?: number | undefined;
  negative?: string | undefined;
  /** Default 0. */
  seed?: number | undefined;
  steps?: number | undefined;
  solver?: SolverName | undefined;
  guidance?: number | undefined;
}

/** What {@link scoreFolder} and {@link scoreModel} tell, and are told. */
export interface ScoreOptions {
  observer: JobObserver;
  signal: AbortSignal;
}

const defaultBatch = 8;

/**
 * Scores a folder of PNGs.
 * Files that cannot be read are passed over and named in the summary.
 * @param settings `asReference`: cut the files' numbers to bytes and resize those, as the reference scripts do
 */
export async function scoreFolder(
  folder: string,
  settings: ScoreSettings & { asReference?: boolean | undefined },
  { observer, signal }: ScoreOptions,
): Promise<ScoreSummary> {
  const { batch = defaultBatch, asReference: bytes = false } = settings;
  const { device } = chooseDevice(settings.device ?? 'auto');
  const pairs = await pairImages(folder, settings.prompts);
  const prompts = pairs.map(({ prompt }) => prompt);
  return run(settings, prompts, observer, (book) => scoreImages(book, pairs, { device, batch, bytes, signal }));
}

/** Scores what a model draws. */
export async function scoreModel(
  settings: ScoreSettings & ScoredDrawing,
  { observer, signal }: ScoreOptions,
  onNote: (line: string) => void,
): Promise<ScoreSummary> {
  const { samples = 4, seed = 0, negative } = settings;
  const prompts = readPromptFile(settings.prompts).map(({ prompt }) => prompt);
  return run(settings, repeated({ prompts, samples }), observer, async function* (book) {
    const opened = await openAdaptedModel(settings, onNote);
    using model = opened.model;
    const {
      steps = model.sampling.steps,
      solver = model.sampling.solver,
      guidance = opened.guidance,
      batch = model.sampling.batch,
    } = settings;
    yield* scoreSamples(book, model, {
      prompts,
      samples,
      seed: BigInt(seed),
      steps,
      solver,
      guidance,
      negativePrompt: negative,
      batch,
      onNote,
      signal,
    });
  });
}

async function run(
  {
    rewards: names,
    out,
    device: wanted = 'auto',
    asReference = false,
  }: ScoreSettings & { asReference?: boolean | undefined },
  prompts: readonly string[],
  observer: JobObserver,
  scores: (book: ScoreBook) => AsyncGenerator<SampleScores[]>,
): Promise<ScoreSummary> {
  const { device } = chooseDevice(wanted);
  if (out !== undefined) await checkOutput(out, 'file');
  const weighted = await createRewardList(names.map(parseReward), device, {
    asReference,
    onNote: (message) => observer.note(message),
  });
  const rewards = weighted.map(([reward]) => reward);
  const book = new ScoreBook(rewards, prompts);
  if (weighted.some(([, weight]) => weight !== 1))
    observer.note('weights are left aside: each reward is scored by itself');
  if (out !== undefined) await openForWriting(out);
  observer.begin(prompts.length, 0, 'image');
  let done = 0;
  try {
    for await (const batch of scores(book)) {
      if (out !== undefined) await writeFile(out, batch.map(lineOf).join(''), { flag: done ? 'a' : 'w' });
      done += batch.length;
      observer.advance(done + book.skipped.length, {});
    }
  } finally {
    observer.end();
  }
  if (done === 0) refuseSkipped({ images: 0, skipped: book.skipped });
  noteTruncated(rewards, observer);
  return book.summary();
}

const lineOf = (sample: SampleScores): string => `${JSON.stringify(sample)}\n`;

/** Makes sure that scores can be written before they are computed; what is there stays until there are scores. */
async function openForWriting(path: string): Promise<void> {
  try {
    makeDirectory(dirname(path));
    await appendFile(path, '');
  } catch (error) {
    throw new ConfigError(`--out ${path}: it cannot be written: ${(error as Error).message}`, { cause: error });
  }
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
