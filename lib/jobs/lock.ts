import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive } from '../runtime/is-alive.js';
import { makeDirectory } from '../runtime/make-directory.js';

function tryLock(path: string): boolean {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    // Created and not written, on a full disk: left there, it would be waited for.
    rmSync(path, { force: true });
    throw error;
  }
}

/**
 * Runs `work` while holding the lock file `path`; waits for a process that holds it, and takes over from a dead one.
 */
export async function withLock<T>(path: string, report: (line: string) => void, work: () => Promise<T>): Promise<T> {
  makeDirectory(dirname(path));
  let announced = false;
  while (!tryLock(path)) {
    let owner: number;
    try {
      owner = Number(readFileSync(path, 'utf8'));
    } catch {
      continue; // released between the two calls
    }
    // An empty file belongs to a process that is about to write its id.
    if (owner !== 0 && !isAlive(owner)) {
      rmSync(path, { force: true });
      continue;
    }
    if (!announced) report(`Waiting for process ${owner}, which holds ${path}`);
    announced = true;
    await sleep(200);
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}
