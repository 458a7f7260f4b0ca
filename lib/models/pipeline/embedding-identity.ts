import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CheckpointError } from '../../errors.js';
import { contentHash } from '../../files/content.js';
import { locateWeights } from '../component-weights.js';
import type { TextComponent } from './directory.js';

/** The version of what is stored; a change makes every older file another one's. */
const formatVersion = 2;

/** Files up to so many bytes are read whole: configurations, vocabularies. */
const smallFile = 2 ** 24;

/**
 * What embeddings depend on besides the prompt: the files of encoders and tokenizers, and what else a model names.
 *
 * What counts of each file: its name, size and time of change; the content of weights and where it is small
 * ({@link contentHash}). Where the directory lies does not count: a copy that keeps the times is the same.
 * @throws CheckpointError for folders that cannot be read, and weights that are missing or damaged
 */
export async function identityOf(encoders: readonly TextComponent<unknown>[], settings: object): Promise<string> {
  const files: StoredFile[] = [];
  for (const { directory: folder, tokenizer } of encoders) {
    files.push(...(await filesIn(folder, await locateWeights(folder))), ...(await filesIn(tokenizer, [])));
  }
  const identity = { formatVersion, files, ...settings };
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex');
}

type StoredFile = [name: string, size: number, changed: number, content: string];

async function filesIn(folder: string, weights: readonly string[]): Promise<StoredFile[]> {
  const files: StoredFile[] = [];
  try {
    for (const name of (await readdir(folder)).sort()) {
      const path = join(folder, name);
      const status = await stat(path);
      const isRead = weights.includes(path) || (status.isFile() && status.size <= smallFile);
      files.push([name, status.size, status.mtimeMs, isRead ? await contentHash(path) : '']);
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
