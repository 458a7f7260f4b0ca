import { existsSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

import { ConfigError } from '../../errors.js';
import { fetchedReward, parseHubName } from '../../files/hub-cache.js';
import type { HubFiles } from '../../rewards/reward-kind.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { expected } from '../../schema/validate.js';
import { HubError } from './error.js';
import { offlineError } from './offline.js';
import { isOffline } from './settings.js';
import { linkTo } from './store.js';
import { fetchAll, openRepository, type Fetched, type FetchOptions, type Opened } from './transfer.js';

/**
 * A published reward's files, of several repositories, in one folder: links into the cache, or the files themselves.
 */
export async function fetchReward(
  reward: string,
  groups: readonly HubFiles[],
  options: FetchOptions,
): Promise<Fetched> {
  for (const key of ['revision', 'variant', 'files'] as const) {
    if (options[key]?.length) throw new ConfigError(`${key} does not go with ${reward}, whose files are known`);
  }
  const directory = options.to === undefined ? fetchedReward(reward) : resolve(options.to);
  if (isOffline()) {
    const missing = groups.flatMap(({ files }) => files.filter((file) => !existsSync(join(directory, file))));
    if (missing.length === 0) return { directory, files: readdirSync(directory).length, bytes: 0, fetched: 0 };
    throw offlineError(`${reward} is not whole in ${directory}, which lacks ${missing.join(', ')}`);
  }
  const opened: Opened[] = [];
  for (const group of groups) {
    const { files: required, ifThere = [], sha256 = {} } = group;
    const name = parseHubName(group.repository)!;
    const repository = await openRepository(name, options, async (_, files) => {
      const paths = files.map(({ path }) => path);
      const missing = required.filter((file) => !paths.includes(file));
      if (missing.length) throw new HubError(`${name.id} lacks ${missing.join(', ')}, of which ${reward} is made`);
      return [...required, ...ifThere.filter((file) => paths.includes(file))];
    });
    for (const { path, blob } of repository.wanted) {
      if (sha256[path] !== undefined && sha256[path] !== blob)
        throw new HubError(expected(`${name.id}/${path}`, `SHA-256 ${sha256[path]}, as its authors' file has`, blob));
    }
    opened.push(repository);
  }
  const fetched = await fetchAll(opened, directory, options);
  if (options.to === undefined) {
    makeDirectory(directory);
    for (const { store, wanted } of opened)
      for (const { path } of wanted) await linkTo(join(store.folder, path), join(directory, basename(path)));
  }
  return fetched;
}
