import { open } from 'node:fs/promises';

import { CheckpointError } from '../errors.js';
import { pointerLength, pointerProblem } from '../schema/text.js';

/**
 * Refuses what Git LFS leaves where a file is to be; what cannot be read is left to whoever reads it.
 * @throws CheckpointError
 */
export async function refusePointer(path: string): Promise<void> {
  const file = await open(path).catch(() => undefined);
  if (!file) return;
  try {
    const start = Buffer.alloc(pointerLength);
    await file.read(start, 0, start.length, 0).catch(() => undefined);
    const problem = pointerProblem(start);
    if (problem) throw new CheckpointError(`${path} ${problem}`);
  } finally {
    await file.close();
  }
}
