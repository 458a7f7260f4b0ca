import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { CheckpointError, ConfigError } from '../errors.js';
import { lockName } from '../files/lock.js';

/** What becomes of a new run's output that holds something. */
export type Existing = 'number' | 'refuse' | 'overwrite';

/** What runs write into their folders. */
const ofRuns = new Set(
  'config.json recipe.json run.json metrics.jsonl checkpoints samples evaluation.json report.html model.safetensors'
    .concat(' compare.json summary.md runs sweep tensorboard wandb endpoints.json panel.json best')
    .concat(' evaluation-samples.json examples diff.html diff.png')
    .split(' '),
);
const records = ['config.json', 'recipe.json'];

const namesIn = (path: string): Promise<string[]> =>
  readdir(path).then(
    (names) => names.filter((name) => name !== lockName),
    () => [],
  );

/** @throws ConfigError where a folder holds something */
export async function refuseExisting(path: string): Promise<void> {
  if ((await namesIn(path)).length === 0) return;
  throw new ConfigError(
    `${path} is there already: --resume goes on with the run in it, --overwrite replaces it, or name another --output`,
  );
}

/**
 * Checks that all that a folder holds was written by a run, so that it may be removed.
 * @throws CheckpointError where anything else is in it
 */
export async function checkOverwritable(path: string): Promise<void> {
  const names = await namesIn(path);
  const foreign = names.filter((name) => !ofRuns.has(name) && !name.endsWith('.tmp'));
  if (foreign.length === 0 && (names.length === 0 || names.some((name) => records.includes(name)))) return;
  throw new CheckpointError(
    `${path} is not overwritten: it holds ${foreign.length ? foreign.slice(0, 4).join(', ') : 'no record of a run'}, ` +
      'which is not what a run writes; name another output, or remove it yourself',
  );
}

/** Removes what a run wrote into its folder, the records last: what is left of it is still a run. */
export async function removeRun(path: string): Promise<void> {
  const names = await namesIn(path);
  for (const name of [
    ...names.filter((each) => !records.includes(each)),
    ...names.filter((each) => records.includes(each)),
  ])
    await rm(join(path, name), { recursive: true, force: true });
}
