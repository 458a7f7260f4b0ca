import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { CheckpointError } from '../../errors.js';
import { textEmbeddingsDirectory } from '../../models/text-embeddings.js';
import { cacheDirectory } from '../../runtime/native/libtorch.js';
import { endpointsDirectory } from '../../training/endpoints.js';

/** How much a file or a folder holds. */
export interface CacheSize {
  files: number;
  bytes: number;
}

/** What the user's cache holds. */
export interface CacheContents {
  /** undefined where this user has none. */
  directory: string | undefined;
  /** By name, in the alphabet's order. */
  entries: (CacheSize & { name: string })[];
}

/** @throws CheckpointError for a cache that cannot be read */
export async function inspectCache(): Promise<CacheContents> {
  const directory = cacheDirectory();
  if (directory === undefined) return { directory, entries: [] };
  const names = (await namesIn(directory)).sort();
  const sizes = await Promise.all(names.map((name) => sizeOf(join(directory, name))));
  return { directory, entries: names.map((name, index) => ({ name, ...sizes[index]! })) };
}

/**
 * Removes text embeddings and endpoints from the cache: nothing else in it grows.
 * @throws CheckpointError where they cannot be removed
 */
export async function clearCache(): Promise<CacheSize> {
  const removed = [await remove(textEmbeddingsDirectory()), await remove(endpointsDirectory())];
  return added(removed);
}

const added = (sizes: readonly CacheSize[]): CacheSize => ({
  files: sizes.reduce((sum, { files }) => sum + files, 0),
  bytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
});

async function remove(path: string | undefined): Promise<CacheSize> {
  if (path === undefined) return { files: 0, bytes: 0 };
  const size = await sizeOf(path);
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    throw new CheckpointError(`${path} could not be removed: ${(error as Error).message}`, { cause: error });
  }
  return size;
}

/** The size of a file, or of all files below a folder; links count as what they are. */
async function sizeOf(path: string): Promise<CacheSize> {
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isDirectory()) return { files: found ? 1 : 0, bytes: found?.size ?? 0 };
  const sizes = await Promise.all((await namesIn(path)).map((name) => sizeOf(join(path, name))));
  return added(sizes);
}

async function namesIn(path: string): Promise<string[]> {
  return readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new CheckpointError(`${path} cannot be read: ${error.message}`, { cause: error });
  });
}
