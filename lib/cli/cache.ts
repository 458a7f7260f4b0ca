import { lstat, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { CheckpointError } from '../errors.js';
import { textEmbeddingsDirectory } from '../models/text-embeddings.js';
import { cacheDirectory } from '../runtime/native/libtorch.js';
import { bytesText } from '../jobs/plan/table.js';

interface CacheFlags {
  clear?: boolean;
  json?: boolean;
}

/** A folder of the cache. */
interface CacheEntry {
  name: string;
  files: number;
  bytes: number;
}

const what: Readonly<Record<string, string>> = {
  [basename(textEmbeddingsDirectory())]: 'of prompts; computed again when they are needed',
  loaded: 'which LibTorch loaded well with which binary',
};

/** Prints what the cache holds; with `clear`, after the text embeddings were removed from it: nothing else in it grows. */
export async function runCache({ clear = false, json = false }: CacheFlags): Promise<void> {
  const directory = cacheDirectory();
  const removed = clear ? await remove(textEmbeddingsDirectory()) : undefined;
  const entries = await Promise.all(
    (await namesIn(directory)).sort().map(async (name) => ({ name, ...(await sizeOf(join(directory, name))) })),
  );
  process.stdout.write(
    json
      ? `${JSON.stringify({ directory, ...(removed && { removed }), entries }, null, 2)}\n`
      : table(directory, entries, removed),
  );
}

async function remove(path: string): Promise<Omit<CacheEntry, 'name'>> {
  const size = await sizeOf(path);
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    throw new CheckpointError(`${path} could not be removed: ${(error as Error).message}`, { cause: error });
  }
  return size;
}

/** Of a file, or of all below a folder; links count as what they are. */
async function sizeOf(path: string): Promise<Omit<CacheEntry, 'name'>> {
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isDirectory()) return { files: found ? 1 : 0, bytes: found?.size ?? 0 };
  const sizes = await Promise.all((await namesIn(path)).map((name) => sizeOf(join(path, name))));
  return {
    files: sizes.reduce((sum, { files }) => sum + files, 0),
    bytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

async function namesIn(path: string): Promise<string[]> {
  return readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new CheckpointError(`${path} cannot be read: ${error.message}`, { cause: error });
  });
}

function table(
  directory: string,
  entries: readonly CacheEntry[],
  removed: Omit<CacheEntry, 'name'> | undefined,
): string {
  const width = Math.max(...entries.map(({ name }) => name.length));
  const rows = entries.map(({ name, files, bytes }) =>
    `  ${name.padEnd(width)}  ${bytesText(bytes).padStart(10)}  ${String(files).padStart(6)} files  ${what[name] ?? ''}`.trimEnd(),
  );
  const lines = [
    ...(removed ? [`removed ${removed.files} files of text embeddings, ${bytesText(removed.bytes)}`] : []),
    rows.length ? directory : `${directory} is empty`,
    ...rows,
  ];
  return `${lines.join('\n')}\n`;
}
