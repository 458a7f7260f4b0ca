import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { CheckpointError } from '../../errors.js';
import { verifyCheckpoint } from '../../files/checkpoints.js';
import { RunDirectory } from '../run-directory.js';
import { runOf } from '../run-record.js';

/** A checkpoint in a run. */
export interface FoundCheckpoint {
  /** The run's directory, as it was named or as the checkpoint's was. */
  run: string;
  step: number;
  directory: string;
}

/**
 * The checkpoint at a path, checked whole: the newest one of a run's directory, or that of a checkpoint's own.
 * @param onNote told of damaged checkpoints that are passed over
 * @throws CheckpointError where there is none
 */
export async function checkpointAt(path: string, onNote: (line: string) => void): Promise<FoundCheckpoint> {
  if (!existsSync(path)) throw new CheckpointError(`there is no run at ${path}`);
  if (runOf(path) !== undefined) {
    const { step } = await verifyCheckpoint(path);
    return { run: join(path, '..', '..'), step, directory: path };
  }
  const { checkpoint } = await RunDirectory.withCheckpoint(path, (error) => onNote(`passed over: ${error.message}`));
  return { run: path, ...checkpoint };
}
