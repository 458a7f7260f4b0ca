import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { ConfigError } from '../../errors.js';
import { RunLock } from '../../files/lock.js';
import { bestFolder } from '../run-record.js';
import { expected } from '../../schema/validate.js';

/** Folders of runs are looked for so many levels deep. */
const deepest = 3;

/** A run as the list of all runs shows it. */
export interface ListedRun {
  /** The path below the folder that is served, with `/`; of the folder's own run, the folder's name. */
  key: string;
  directory: string;
  isRunning: boolean;
  /** The time at which its metrics, or else its record, were written last. */
  changed: Date;
}

/**
 * Finds the runs in a folder, or the folder's own, in the order of their paths. A run has a metrics.jsonl beside its
 * config.json or recipe.json.
 * @throws ConfigError where there is no such folder
 */
export async function findRuns(folder: string): Promise<ListedRun[]> {
  const found: ListedRun[] = [];
  const visit = async (directory: string, key: string, depth: number): Promise<void> => {
    const entries = await readdir(directory, { withFileTypes: true });
    const names = new Set(entries.map(({ name }) => name));
    const record = ['recipe.json', 'config.json'].find((name) => names.has(name));
    if (record && names.has('metrics.jsonl')) found.push(await listed(directory, key || basename(directory)));
    if (depth === deepest) return;
    for (const entry of entries) {
      if (!entry.isDirectory() || entry.name.startsWith('.') || (record && ownFolders.has(entry.name))) continue;
      // A folder that went, or is closed to this user, is passed over.
      await visit(join(directory, entry.name), key ? `${key}/${entry.name}` : entry.name, depth + 1).catch(() => {});
    }
  };
  await visit(folder, '', 0).catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(expected(folder, 'a folder of runs', error.code === 'ENOENT' ? 'none' : error.message));
  });
  return found.sort((one, other) => one.key.localeCompare(other.key, 'en', { numeric: true }));
}

/** Folders within a run's that hold no runs. A comparison's `runs` and `sweep` do. */
const ownFolders = new Set(['checkpoints', bestFolder, 'samples', 'examples', 'tensorboard', 'wandb']);

async function listed(directory: string, key: string): Promise<ListedRun> {
  const { mtime } = await stat(join(directory, 'metrics.jsonl'));
  return { key, directory, isRunning: RunLock.isHeld(directory), changed: mtime };
}
