import { existsSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';

import { readJson } from '../schema/json.js';

/** The settings of a record that name files. */
const naming = ['model', 'data', 'rewards', 'evaluation'];

/**
 * Reads the configuration that a run recorded. Paths in it are absolute; what is no longer there, and lies as it did
 * beside the run's folder, was moved with it, and is named where it is now.
 * @param record the file in the run's folder
 * @throws ConfigError if it is missing or is not JSON
 */
export async function readRecord(directory: string, record: string): Promise<unknown> {
  const json = await readJson(join(directory, record));
  const { output } = (json ?? {}) as { output?: unknown };
  if (typeof output !== 'string' || !isAbsolute(output)) return json;
  const now = resolve(directory);
  const entries = Object.entries(json as object).map(([name, value]: [string, unknown]) => [
    name,
    naming.includes(name) ? foundAgain(value, output, now) : value,
  ]);
  return Object.fromEntries(entries) as unknown;
}

/** The folder within a run's that holds the best checkpoint without an alarm. */
export const bestFolder = 'best';

/** The folder of the run that a checkpoint's folder is in; undefined where it is in none with a record. */
export function runOf(checkpoint: string): string | undefined {
  const keeper = dirname(resolve(checkpoint));
  const run = dirname(keeper);
  const isKeeper = ['checkpoints', bestFolder].includes(basename(keeper));
  return isKeeper && existsSync(join(run, 'config.json')) ? run : undefined;
}

/**
 * What a run's record, or the adapter in it, says, with the files that it names where they are now.
 * @param before the run's folder when they were named
 * @param now the run's folder
 */
export function foundAgain(value: unknown, before: string, now: string): unknown {
  return eachText(value, (path) => {
    if (!isAbsolute(path) || existsSync(path)) return path;
    const moved = resolve(now, relative(before, path));
    return existsSync(moved) ? moved : path;
  });
}

function eachText(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((item) => eachText(item, change));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, eachText(item, change)]));
}
