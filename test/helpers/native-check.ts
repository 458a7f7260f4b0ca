import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { withLock } from '../../lib/jobs/lock.js';

const run = promisify(execFile);

/**
 * Compiles a program of native/test, native/bench or native/fuzz into a build folder of the addon, whose objects it
 * links, one process at a time; returns its path.
 */
export async function buildCheck(directory: string, name: string): Promise<string> {
  const options = { maxBuffer: 2 ** 28 };
  const waiting = () => {};
  await withLock(`${directory}.lock`, waiting, async () => {
    await run('cmake', ['-DEAM_BUILD_CHECKS=ON', directory], options);
    await run('cmake', ['--build', directory, '--target', name], options);
  });
  return join(directory, name);
}
