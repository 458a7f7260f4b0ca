import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { isError, StoppedError } from '../errors.js';
import { replaceFile } from '../files/checkpoints.js';
import { versions } from '../runtime/versions.js';

const statusFile = 'run.json';

const statusSchema = z.object({
  /** A run that was killed leaves `running` behind: whether it runs is what its lock says. */
  state: z.enum(['running', 'finished', 'stopped', 'failed']),
  /** The error that ended a run which did not finish. */
  problem: z.string().optional(),
  /** The versions that the run was computed with. */
  versions: z.record(z.string(), z.string()),
});

/** The content of the file run.json in a run's folder. */
export type RunStatus = z.output<typeof statusSchema>;

/** How a run ended: `stopped` is that it was interrupted, or by its `stopWhen`, `failed` that an error ended it. */
export type Ending = Omit<RunStatus, 'versions'>;

/** Reads what a run's folder says of how the run goes; undefined where it says nothing, as earlier versions' do. */
export async function readStatus(directory: string): Promise<RunStatus | undefined> {
  try {
    return statusSchema.parse(JSON.parse(await readFile(join(directory, statusFile), 'utf8')));
  } catch {
    return undefined;
  }
}

/** Says in a run's folder how the run goes. A disk that does not take it stops no run. */
export async function writeStatus(directory: string, status: Ending): Promise<void> {
  const text = JSON.stringify({ ...status, versions: versions() }, null, 2);
  await replaceFile(join(directory, statusFile), `${text}\n`).catch(() => undefined);
}

/** How a run ended that `error` ended. */
export function endingOf(error: unknown, signal: AbortSignal | undefined): Ending {
  const isStopped = error instanceof StoppedError || (signal?.aborted && error === signal.reason);
  const state = isStopped ? 'stopped' : 'failed';
  return { state, problem: isError(error) ? error.message : String(error) };
}

/** Does a run's work, says in the run's folder how it ended, and ends its logs and lets go of the folder. */
export async function conduct<Result>(
  run: { path: string; hasBegun: boolean; during<Made>(work: () => Promise<Made>): Promise<Made> },
  signal: AbortSignal | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  const end = async (ending: Ending) => {
    // A run whose resumption was refused keeps the status that it had.
    if (run.hasBegun) await writeStatus(run.path, ending);
  };
  return run.during(async () => {
    try {
      const result = await work();
      await end({ state: 'finished' });
      return result;
    } catch (error) {
      await end(endingOf(error, signal));
      throw error;
    }
  });
}
