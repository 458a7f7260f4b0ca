import { lstat, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { CheckpointError, EamError } from './errors.js';

/**
 * Writes a directory aside and renames it into place, so that it is whole or absent.
 * @param write puts what the directory is to hold into the one it is given
 * @throws CheckpointError where `path` exists, or cannot be written
 */
export async function writeNewDirectory(path: string, write: (aside: string) => Promise<void>): Promise<void> {
  const aside = `${resolve(path)}.tmp-${process.pid}`;
  const taken = () => new CheckpointError(`${path} exists already; name another directory, or remove it`);
  if (await exists(path)) throw taken();
  try {
    await mkdir(dirname(aside), { recursive: true });
    await mkdir(aside);
    await write(aside);
    // Renaming would replace an empty directory that came meanwhile.
    if (await exists(path)) throw taken();
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { recursive: true, force: true }).catch(() => undefined);
    if (error instanceof EamError) throw error;
    throw new CheckpointError(`${path} could not be written: ${(error as Error).message}`, { cause: error });
  }
}

const exists = (path: string): Promise<boolean> => lstat(path).then(() => true, () => false);
