import { createHash } from 'node:crypto';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CheckpointError } from '../../errors.js';
import { readHeader } from '../../files/safetensors.js';
import type { Sd3Directory } from './directory.js';
import type { TextOptions } from './text.js';
import { locateWeights } from '../component-weights.js';

/** The version of what is stored; a change makes every older file another one's. */
const formatVersion = 2;

/** Files up to so many bytes are read whole: configurations, vocabularies. */
const smallFile = 2 ** 24;

/** Bytes that are read of each tensor. */
const sampleBytes = 4096;

/**
 * What embeddings depend on besides the prompt: the files of encoders and tokenizers, the dtype, the kind of device and
 * the lengths.
 *
 * What counts of each file: its name, size and time of change; the content where it is small; of weights the header and
 * the middle of every tensor. Gigabytes are thus told apart by the few megabytes that another training, merge or
 * precision cannot leave as they are. Where the directory lies does not count: a copy that keeps the times is the same.
 * @throws CheckpointError for folders that cannot be read, and weights that are missing or damaged
 */
export async function identityOf(directory: Sd3Directory, { dtype, device, textLength }: TextOptions): Promise<string> {
  const encoders = [...directory.clip, ...(directory.t5 ? [directory.t5] : [])];
  const files: StoredFile[] = [];
  for (const { directory: folder, tokenizer } of encoders) {
    files.push(...(await filesIn(folder, await locateWeights(folder))), ...(await filesIn(tokenizer, [])));
  }
  const { jointAttentionDim } = directory.transformer.config;
  const identity = { formatVersion, files, dtype, device: device.split(':')[0], textLength, jointAttentionDim };
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex');
}

type StoredFile = [name: string, size: number, changed: number, content: string];

async function filesIn(folder: string, weights: readonly string[]): Promise<StoredFile[]> {
  const files: StoredFile[] = [];
  try {
    for (const name of (await readdir(folder)).sort()) {
      const path = join(folder, name);
      const status = await stat(path);
      const read = weights.includes(path)
        ? hashWeights
        : status.isFile() && status.size <= smallFile
          ? hashWhole
          : undefined;
      files.push([name, status.size, status.mtimeMs, (await read?.(path)) ?? '']);
    }
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    throw new CheckpointError(
      `${folder} cannot be read, which encodes prompts: ${(error as Error).message}; download it again`,
      { cause: error },
    );
  }
  return files;
}

async function hashWhole(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

/** The header, and the middle of every tensor. */
async function hashWeights(path: string): Promise<string> {
  const { entries, dataStart } = await readHeader(path);
  const hash = createHash('sha256');
  const file = await open(path);
  try {
    const read = async (position: number, length: number) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
      hash.update(buffer.subarray(0, bytesRead));
    };
    await read(0, dataStart);
    for (const { begin, end } of entries) {
      const length = Math.min(sampleBytes, end - begin);
      await read(dataStart + begin + Math.floor((end - begin - length) / 2), length);
    }
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}
