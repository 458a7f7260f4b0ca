import { join, resolve } from 'node:path';

import { z } from 'zod';

import { ConfigError } from '../../../errors.js';
import { checkOutput } from '../../../files/output-path.js';
import { createJudge, createRewards } from '../../../rewards/registry.js';
import { chooseDevice } from '../../../runtime/device.js';
import { makeDirectory } from '../../../runtime/make-directory.js';
import { solverNames } from '../../../runtime/native/choices.generated.js';
import type { SolverName } from '../../../runtime/ode-solver.js';
import { checkOptions } from '../../../schema/options.js';
import { expected } from '../../../schema/validate.js';
import { cyclePrompts } from '../../../training/sampler.js';
import { checkJobOptions, type JobOptions } from '../../options.js';
import { silent } from '../../progress.js';
import { RunDirectory } from '../../run-directory.js';
import { figuresOf, type TableRow } from './figures.js';
import { findCheckpoints, type WhichCheckpoints } from './find.js';
import { readRuns, sharedSettings, type TableSettings } from './settings.js';
import { TableWork } from './work.js';

/** These are the options of {@link evaluateCheckpoints}. */
export interface EvaluateCheckpointsOptions extends TableSettings, Pick<JobOptions, 'signal' | 'observer' | 'allow'> {
  /** These checkpoints of each run are evaluated; the default is 'last', the newest whole one. */
  checkpoints?: WhichCheckpoints | undefined;
  /**
   * The folder that each model's figures from each seed are kept in as soon as they are there: what is in it is not
   * computed again. The default is `runs/evaluation`.
   */
  output?: string | undefined;
  /** Every image is written into this folder, as a PNG. */
  keepImages?: string | undefined;
}

/** This is what {@link evaluateCheckpoints} returns. */
export interface CheckpointTable {
  /** How many images each model drew from each seed. */
  count: number;
  /** The noise was drawn from these seeds. */
  seeds: number[];
  /** How many different prompts there were. */
  prompts: number;
  /** How many steps the solver took. */
  steps: number;
  /** The solver that drew the images. */
  solver: SolverName;
  /** The weight of classifier-free guidance that they were drawn with. */
  guidance: number;
  /** The pretrained model comes first, and then the checkpoints in the order in which they were named. */
  rows: TableRow[];
}

const optionsShape = {
  count: z.int().min(1),
  seeds: z.array(z.int().min(0)).min(1),
  prompts: z.string().min(1),
  negative: z.string(),
  rewards: z.array(z.string().min(1)),
  steps: z.int().min(1),
  solver: z.enum(solverNames),
  guidance: z.number().min(0),
  batch: z.int().min(1),
  device: z.string().min(1),
  checkpoints: z.union([z.enum(['last', 'all']), z.array(z.int().min(0)).min(1)]),
  output: z.string().min(1),
  keepImages: z.string().min(1),
};

/**
 * Compares checkpoints, of one run or of several of the same model, with the pretrained model: the same prompts, the
 * same noise, several seeds, several rewards in one pass.
 * @param paths directories of finetune runs, or of checkpoints in them
 * @throws ConfigError for options out of range, a checkpoint that is named twice, and runs that differ in what is not
 *   given; CheckpointError for a checkpoint that is missing, damaged or of another model
 */
export async function evaluateCheckpoints(
  paths: readonly string[],
  options: EvaluateCheckpointsOptions = {},
): Promise<CheckpointTable> {
  const { signal, observer = silent, allow, ...settings } = options;
  checkJobOptions({ signal, observer: options.observer, allow }, 'evaluateCheckpoints options');
  checkOptions(optionsShape, settings, 'evaluateCheckpoints options');
  const { seeds, checkpoints = 'last', output = join('runs', 'evaluation'), keepImages } = settings;
  if (paths.length === 0) throw new ConfigError(expected('evaluateCheckpoints', 'at least one run', 'none'));
  if (seeds && new Set(seeds).size < seeds.length)
    throw new ConfigError(expected('seeds', 'each seed once', seeds.join(',')));
  await checkOutput(output, 'directory');
  if (keepImages !== undefined) await checkOutput(keepImages, 'directory');
  const onNote = (line: string) => observer.note(line);
  const runs = await readRuns(await findCheckpoints(paths, checkpoints, onNote));
  const shared = await sharedSettings(runs, settings);
  const { device } = chooseDevice(settings.device ?? runs[0].config.device);
  const reward = await createRewards(shared.rewards, device, { onNote });
  const judge = shared.judge && createJudge(shared.judge, device);
  makeDirectory(output);
  const directory = RunDirectory.existing(output);
  directory.lock();
  try {
    const images = keepImages === undefined ? undefined : resolve(keepImages);
    const parts = { shared, runs, reward, judge, device, output, images };
    const rows = await new TableWork(parts, { signal, observer, allow }).rows();
    const { count, steps, solver, guidance, isSum } = shared;
    const prompts = cyclePrompts(shared.prompts, count);
    const different = new Set(prompts).size;
    return {
      count,
      seeds: [...shared.seeds],
      prompts: different,
      steps,
      solver,
      guidance,
      rows: rows.map((row, at) => figuresOf(row, at === 0 ? undefined : rows[0].parts, prompts, isSum)),
    };
  } catch (error) {
    if (signal?.aborted) onNote(`stopped; the same command goes on with what is finished in ${output}`);
    throw error;
  } finally {
    directory.unlock();
  }
}
