import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';

import { CheckpointError, ConfigError } from '../../../errors.js';
import { listCheckpoints, verifyCheckpoint } from '../../../files/checkpoints.js';
import { expected } from '../../../schema/validate.js';
import { checkpointAt, type FoundCheckpoint } from '../../evaluated/found-checkpoint.js';
import { runOf } from '../../run-record.js';

/** It says which checkpoints of a run are evaluated: the newest whole one, all of them, or those of these steps. */
export type WhichCheckpoints = 'last' | 'all' | readonly number[];

/**
 * Finds the checkpoints of runs, and checks that each is whole.
 * @param paths directories of runs, or of checkpoints in runs
 * @param onNote told of damaged checkpoints that the newest whole one is newer than
 * @throws ConfigError where one is named twice; CheckpointError for one that is missing or damaged
 */
export async function findCheckpoints(
  paths: readonly string[],
  which: WhichCheckpoints,
  onNote: (line: string) => void,
): Promise<FoundCheckpoint[]> {
  const found: FoundCheckpoint[] = [];
  for (const path of paths) {
    if (which === 'last' || runOf(path) !== undefined) found.push(await checkpointAt(path, onNote));
    else found.push(...(await ofRun(path, which)));
  }
  const seen = new Set<string>();
  for (const { directory } of found) {
    const place = await realpath(directory);
    if (seen.has(place)) throw new ConfigError(expected('evaluate', 'each checkpoint once', `${directory} twice`));
    seen.add(place);
  }
  return found;
}

async function ofRun(run: string, which: 'all' | readonly number[]): Promise<FoundCheckpoint[]> {
  if (!existsSync(run)) throw new CheckpointError(`there is no run at ${run}`);
  const there = await listCheckpoints(join(run, 'checkpoints'));
  if (there.length === 0) throw new CheckpointError(`${run} has no checkpoint`);
  const steps = which === 'all' ? there.map(({ step }) => step) : which;
  const found: FoundCheckpoint[] = [];
  for (const step of steps) {
    const checkpoint = there.find((each) => each.step === step);
    if (!checkpoint) {
      const names = there.map((each) => each.step).join(', ');
      throw new CheckpointError(expected(`checkpoints of ${run}`, `steps among ${names}`, step));
    }
    await verifyCheckpoint(checkpoint.directory);
    found.push({ run, ...checkpoint });
  }
  return found;
}
