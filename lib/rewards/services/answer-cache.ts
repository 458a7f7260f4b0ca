import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { LRUCache } from 'lru-cache';

import { ConfigError } from '../../errors.js';
import { removeUnfinished } from '../../files/safetensors.js';
import { makeDirectory } from '../../runtime/make-directory.js';

/** Milliseconds after which a file that is not whole is nobody's any more. */
const abandoned = 3_600_000;

let written = 0;

/** Answers by the hash of what was asked: the latest in memory and, where a folder is named, all of them on disk. */
export class AnswerCache {
  readonly #memory: LRUCache<string, number> | undefined;
  #swept: Promise<void> | undefined;

  /**
   * @param entries how many answers memory holds; 0: none
   * @param directory a file an answer goes in here; several processes may share it
   * @throws ConfigError for a directory that cannot be made
   */
  constructor(
    entries: number,
    private readonly directory: string | undefined,
  ) {
    this.#memory = entries ? new LRUCache({ max: entries }) : undefined;
    if (directory === undefined) return;
    try {
      makeDirectory(directory);
    } catch (error) {
      throw new ConfigError(`cache.directory: ${directory} cannot be used: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** Undefined where the question is new, or its file is damaged. */
  async get(key: string): Promise<number | undefined> {
    const known = this.#memory?.get(key);
    if (known !== undefined || this.directory === undefined) return known;
    const value = valueIn(await readFile(this.#path(key), 'utf8').catch(() => ''));
    if (value !== undefined) this.#memory?.set(key, value);
    return value;
  }

  /** @throws the file system's error; the answer is then in memory alone */
  async set(key: string, value: number): Promise<void> {
    this.#memory?.set(key, value);
    if (this.directory === undefined) return;
    this.#swept ??= removeUnfinished(this.directory, abandoned).catch(() => {});
    await this.#swept;
    // What was never whole is never under the file's own name.
    const aside = `${this.#path(key)}.tmp-${process.pid}-${++written}`;
    try {
      await writeFile(aside, `${JSON.stringify({ value })}\n`);
      await rename(aside, this.#path(key));
    } catch (error) {
      await rm(aside, { force: true }).catch(() => undefined);
      throw error;
    }
  }

  #path(key: string): string {
    return join(this.directory!, `${key}.json`);
  }
}

function valueIn(text: string): number | undefined {
  try {
    const { value } = JSON.parse(text) as { value?: unknown };
    return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
