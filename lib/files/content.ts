import { createHash } from 'node:crypto';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';

import { CheckpointError } from '../errors.js';
import { readHeader } from './safetensors.js';

/** Files up to so many bytes are read whole: configurations, vocabularies, small networks. */
const smallFile = 2 ** 24;

/** Bytes that are read at a time of a larger one. */
const sampleBytes = 4096;

/** Places that are read, evenly spread, of a large file of another format. */
const samples = 64;

/**
 * A fingerprint of a file's content: all of it where it is small; else of safetensors the header and the middle of
 * every tensor, of another file its size and samples. Gigabytes are thus told apart by the few megabytes that another
 * training, merge or precision cannot leave as they are.
 * @throws CheckpointError for weights that are damaged; an error of the file system
 */
export async function contentHash(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size <= smallFile) return sha256(await readFile(path));
  if (extname(path) === '.safetensors') return hashWeights(path);
  const every = Math.floor((size - sampleBytes) / (samples - 1));
  const places = Array.from({ length: samples }, (_, index) => ({ position: index * every, length: sampleBytes }));
  return hashPlaces(path, places, String(size));
}

/**
 * A fingerprint of several files: their names, without folders, and their contents. A copy elsewhere has the same.
 * @throws CheckpointError for one that cannot be read
 */
export async function contentsHash(paths: readonly string[]): Promise<string> {
  const contents: [name: string, content: string][] = [];
  for (const path of paths) {
    try {
      contents.push([basename(path), await contentHash(path)]);
    } catch (error) {
      if (error instanceof CheckpointError) throw error;
      throw new CheckpointError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
    }
  }
  return sha256(JSON.stringify(contents));
}

/** Whether a file is a configuration or a vocabulary, of which the formats are text or SentencePiece's. */
export const isDescription = (name: string): boolean => ['.json', '.txt', '.model'].includes(extname(name));

/** A folder's configurations and vocabularies; none of no folder. */
export async function descriptionsIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  const small = names.filter(isDescription).sort();
  return small.map((name) => join(folder, name));
}

export const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

async function hashWeights(path: string): Promise<string> {
  const { entries, dataStart } = await readHeader(path);
  const middles = entries.map(({ begin, end }) => {
    const length = Math.min(sampleBytes, end - begin);
    return { position: dataStart + begin + Math.floor((end - begin - length) / 2), length };
  });
  return hashPlaces(path, [{ position: 0, length: dataStart }, ...middles]);
}

async function hashPlaces(
  path: string,
  places: readonly { position: number; length: number }[],
  start = '',
): Promise<string> {
  const hash = createHash('sha256').update(start);
  const file = await open(path);
  try {
    for (const { position, length } of places) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}
