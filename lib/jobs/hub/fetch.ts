import { join } from 'node:path';

import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { isDataset, parseDatasetName, parseHubName, type HubName } from '../../files/hub-cache.js';
import { fetchedRewards } from '../../rewards/registry.js';
import { readJson } from '../../schema/json.js';
import { abortSignal, callback, checkOptions, checkText } from '../../schema/options.js';
import { closest, expected } from '../../schema/validate.js';
import { withLock } from '../lock.js';
import type { HubFile } from './listing.js';
import { findOffline } from './offline.js';
import { fetchReward } from './reward.js';
import { selectFiles } from './selection.js';
import { isOffline } from './settings.js';
import type { Store } from './store.js';
import { fetchAll, fetchOne, openRepository, type Fetched, type FetchOptions } from './transfer.js';
import type { Hub } from './transport.js';

const optionsShape = {
  signal: abortSignal,
  report: callback,
  pacing: z.unknown(),
  to: z.string().min(1),
  revision: z.string().min(1),
  variant: z.string().regex(/^[\w-]+$/, 'expected a name of letters, digits, _ and -, such as fp16'),
  files: z.array(z.string().min(1)),
  yes: z.boolean(),
  confirm: callback,
  onBytes: callback,
  freeBytes: callback,
};

/**
 * Fetches a model of the hub, named files of a data set, or those of a published reward: what a task needs of it,
 * checked against the hub's sizes and hashes. A try that was cut is gone on from.
 *
 * @param source `user/name`, `user/name@revision`, `datasets/user/name`, the address of such a page, or the name of a
 *   published reward
 * @throws ConfigError for a name or options that do not fit, or gigabytes without `yes`; HubError where the hub
 *   refuses, or cannot be reached; CheckpointError for a repository without a model; the signal's reason
 */
export async function fetchModel(source: string, options: FetchOptions = {}): Promise<Fetched> {
  checkText(source, 'source', 'fetchModel');
  checkOptions(optionsShape, options, 'fetchModel options');
  const reward = fetchedRewards.get(source);
  if (reward) return fetchReward(source, reward, options);
  const name = nameOf(source, options.revision);
  if (isDataset(name.id) && !options.files?.length)
    throw new ConfigError(expected('files', `the files of ${name.id} to fetch, each by --file NAME`, 'none'));
  if (isOffline()) return findOffline(name, options);
  const opened = await openRepository(name, options, (hub, files, store) => choose(hub, files, store, options));
  return fetchAll([opened], opened.store.folder, options);
}

function nameOf(source: string, revision: string | undefined): HubName {
  const name = parseHubName(source) ?? parseDatasetName(source);
  if (!name) {
    const near = closest(source, [...fetchedRewards.keys()]);
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    const rewards = [...fetchedRewards.keys()].join(', ');
    throw new ConfigError(
      expected('name', `user/name of the hub, datasets/user/name, or a reward (${rewards})`, source) + hint,
    );
  }
  if (revision === undefined) return name;
  if (/@|\/tree\//.test(source)) throw new ConfigError(expected('revision', 'one, in the name or beside it', 'both'));
  return { ...name, revision };
}

/** Chooses the files of a model; what says which ones they are is fetched first. */
function choose(
  hub: Hub,
  files: readonly HubFile[],
  { commit, store }: { commit: string; store: Store },
  { variant, files: only, report, signal }: FetchOptions,
): Promise<string[]> {
  const readFetched = async (path: string) => {
    const file = files.find((each) => each.path === path)!;
    // A cache that may only be read needs no lock.
    if (!(await store.has(file)))
      await withLock(store.lock, report ?? (() => {}), () => fetchOne({ hub, commit, store }, file, { signal }));
    return readJson(join(store.folder, path));
  };
  return selectFiles(
    { id: hub.asked.id, paths: files.map(({ path }) => path), readJson: readFetched },
    { variant, only, report },
  );
}
