import { lstat, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { CheckpointError, EamError } from '../errors.js';
import { checkOutput } from './output-path.js';
import { makeDirectory } from '../runtime/make-directory.js';

/**
 * Checks that there is nothing yet where a directory or a file is to be written; before the work for it, too.
 * @throws ConfigError where `path` is of the other kind or below a file, CheckpointError where it is of that kind
 */
export async function refuseTaken(path: string, wanted: 'directory' | 'file' = 'directory'): Promise<void> {
  await checkOutput(path, wanted);
  if (await exists(path)) throw new CheckpointError(`${path} exists already; name another ${wanted}, or remove it`);
}

/**
 * Writes a directory aside and renames it into place, so that it is whole or absent.
 * @param write puts what the directory is to hold into the one it is given
 * @throws as {@link refuseTaken}, and CheckpointError where `path` cannot be written
 */
export async function writeNewDirectory(path: string, write: (aside: string) => Promise<void>): Promise<void> {
  const aside = `${resolve(path)}.tmp-${process.pid}`;
  await refuseTaken(path);
  try {
    makeDirectory(dirname(aside));
    await mkdir(aside);
    await write(aside);
    // Renaming would replace an empty directory that came meanwhile.
    await refuseTaken(path);
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { recursive: true, force: true }).catch(() => undefined);
    if (error instanceof EamError) throw error;
    throw new CheckpointError(`${path} could not be written: ${(error as Error).message}`, { cause: error });
  }
}

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );
