import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';

import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { RunLock } from '../../files/lock.js';
import { expected } from '../../schema/validate.js';
import type { Evaluation } from '../../training/evaluation.js';
import { samplesFile } from '../evaluated/sample-file.js';
import { RunDirectory } from '../run-directory.js';
import { readRecord } from '../run-record.js';
import { readStatus, type Ending } from '../run-status.js';

/** A line of metrics.jsonl as it was read: of what is in it, only the step is known to be a number. */
export type ReadMetrics = { step: number } & Readonly<Record<string, unknown>>;

/** All that a run's folder tells at one moment, from which the run is shown. */
export interface RunView {
  /** The run's folder, as an absolute path. */
  directory: string;
  /** The name of the folder. */
  name: string;
  /** The command that makes such a run. */
  command: 'finetune' | 'distill' | 'pretrain';
  /** `stopped` is that it was interrupted or killed and can go on, `failed` that an error ended it. */
  state: 'running' | 'stopped' | 'failed' | 'finished';
  /** The error that ended a run which did not finish. */
  problem?: string | undefined;
  /** The configuration with every default filled in. */
  config: Readonly<Record<string, unknown>>;
  /** One object a step that is done, in the order of the steps; lines that cannot be read are left out. */
  metrics: readonly ReadMetrics[];
  /** The panel's figures of the pretrained model, where it was measured. */
  baseline?: unknown;
  /** The evaluation of the last step, where a fine-tuning has been evaluated. */
  evaluation?: Evaluation;
  /** The grids of samples, in the order of their steps; that of step 0 is the pretrained model's. */
  grids: readonly { step: number; path: string }[];
  /** The versions that the run was computed with; empty where its folder does not tell. */
  versions: Readonly<Record<string, string>>;
  /** When the folder's metrics, grids, evaluation or state changed last. */
  changed: Date;
}

/** JSON has null in the place of a number that is not finite. */
const number = z
  .number()
  .nullable()
  .transform((value) => value ?? NaN);
const spread = z.looseObject({ mean: number, std: number });
const measurement = z.looseObject({
  reward: spread,
  rewards: z.record(z.string(), spread),
  accuracy: z.number().optional(),
  diversity: z.number().optional(),
});
const change = z.looseObject({
  mean: z.number().nullable(),
  interval: z.tuple([z.number(), z.number()]).nullable(),
  pairs: z.number(),
  // Files without it have intervals from the spread between pairs, as those of one prompt.
  prompts: z.number().default(1),
});

/** The part of evaluation.json that is shown. A distillation's file holds something else. */
const evaluationSchema = z.looseObject({
  count: z.number(),
  seed: z.string(),
  before: measurement,
  after: measurement,
  change: z.looseObject({ reward: change, rewards: z.record(z.string(), change) }).optional(),
  gain: z.number().nullable(),
  diversityRatio: z.number().nullable().optional(),
  slicedWasserstein: z.number().optional(),
});

/** The member of an object at the end of these names; undefined where there is none. */
export const member = (value: unknown, ...names: readonly string[]): unknown =>
  names.reduce(
    (inner, name) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, name) : undefined),
    value,
  );

/** The files that a view is read from, beside metrics and grids. */
export const viewedFiles = ['config.json', 'recipe.json', 'run.json', 'panel.json', 'evaluation.json', samplesFile];

/** The file by which each command's run is known. */
const records = { pretrain: 'recipe.json', finetune: 'config.json' } as const;

/**
 * Reads the folder of a run of `eam finetune`, `eam distill` or `eam pretrain`, while it runs or afterwards.
 *
 * A run is `running` for as long as a process has its lock, which the operating system takes from a killed one. Else
 * run.json has its end; one that has none there was killed.
 * @param ending how the run ends, where its own process asks, which still has the lock
 * @throws ConfigError where there is no such run, or its record is not JSON; CheckpointError where its metrics cannot
 *   be read
 */
export async function readRunView(directory: string, ending?: Ending): Promise<RunView> {
  const { command, config } = await readRunRecord(directory);
  const run = RunDirectory.existing(directory);
  // The lock is looked at first, since a run says how it ended before it lets go of its lock.
  const isHeld = RunLock.isHeld(directory);
  const [metrics, grids, status, measured, panel] = await Promise.all([
    readSteps(run),
    listGrids(directory),
    readStatus(directory),
    readIfThere(directory, 'evaluation.json'),
    readIfThere(directory, 'panel.json'),
  ]);
  const done = metrics.at(-1)?.step ?? 0;
  const isComplete = done === config['steps'] && (measured !== undefined || config['evaluation'] === undefined);
  const end: Ending = ending ?? (isHeld ? { state: 'running' } : endOf(status, isComplete));
  // While a resumed run goes on, evaluation.json holds the evaluation from before it was resumed.
  const isOfLastStep = done === config['steps'] && end.state !== 'running';
  const evaluation = isOfLastStep ? evaluationSchema.safeParse(measured).data : undefined;
  return {
    directory: resolve(directory),
    name: basename(resolve(directory)),
    command,
    ...end,
    config,
    metrics,
    baseline: objectOf(panel)['baseline'],
    ...(evaluation && { evaluation: evaluation as Evaluation }),
    grids,
    versions: status?.versions ?? {},
    changed: await lastChange(directory, grids.at(-1)?.path),
  };
}

/** A process that was killed had no time to say how its run ended, and earlier versions said it of none. */
function endOf(status: Ending | undefined, isComplete: boolean): Ending {
  if (!status) return { state: isComplete ? 'finished' : 'stopped' };
  return status.state === 'running' ? { state: 'stopped' } : { state: status.state, problem: status.problem };
}

async function readRunRecord(directory: string): Promise<Pick<RunView, 'command' | 'config'>> {
  if (existsSync(join(directory, records.pretrain)))
    return { command: 'pretrain', config: objectOf(await readRecord(directory, records.pretrain)) };
  const hint = "a run's folder, which has a config.json and a metrics.jsonl";
  if (!existsSync(join(directory, records.finetune)))
    throw new ConfigError(expected(directory, hint, existsSync(directory) ? 'a folder without them' : 'none'));
  const config = objectOf(await readRecord(directory, records.finetune));
  if ('contenders' in config)
    throw new ConfigError(expected(directory, hint, "a comparison's, which has a report of its own"));
  if (!('prompts' in config) || !('steps' in config))
    throw new ConfigError(expected(directory, hint, 'a folder with another config.json'));
  return { command: 'teacher' in config ? 'distill' : 'finetune', config };
}

const objectOf = (json: unknown): Record<string, unknown> =>
  typeof json === 'object' && json !== null ? { ...json } : {};

/** A run that was resumed while its metrics were copied may have logged a step twice: the later line counts. */
async function readSteps(run: RunDirectory): Promise<ReadMetrics[]> {
  const steps = new Map((await run.readMetrics<ReadMetrics>()).map((metrics) => [metrics.step, metrics]));
  return [...steps.values()].sort((one, other) => one.step - other.step);
}

async function listGrids(directory: string): Promise<{ step: number; path: string }[]> {
  const folder = join(directory, 'samples');
  const names = await readdir(folder).catch(() => []);
  return names
    .flatMap((name) => {
      const step = /^step-(\d+)\.png$/.exec(name)?.[1];
      return step === undefined ? [] : [{ step: Number(step), path: join(folder, name) }];
    })
    .sort((one, other) => one.step - other.step);
}

async function readIfThere(directory: string, name: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(join(directory, name), 'utf8')) as unknown;
  } catch {
    return undefined;
  }
}

async function lastChange(directory: string, grid: string | undefined): Promise<Date> {
  const paths = [...[...viewedFiles, 'metrics.jsonl'].map((name) => join(directory, name)), ...(grid ? [grid] : [])];
  const times = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      ),
    ),
  );
  return new Date(Math.max(...times));
}
