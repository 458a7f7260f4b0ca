import { existsSync, readdirSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';

import { formatHubName, hubCacheDirectory, snapshotOf, type HubName } from '../../files/hub-cache.js';
import { readJson } from '../../schema/json.js';
import { HubError } from './error.js';
import { selectFiles } from './selection.js';
import type { Fetched, FetchOptions } from './transfer.js';

/** What is in the cache, or in a folder, where the hub must not be asked. */
export async function findOffline(name: HubName, options: FetchOptions): Promise<Fetched> {
  const directory = options.to === undefined ? snapshotOf(name) : resolve(options.to);
  if (directory === undefined || !existsSync(directory))
    throw offlineError(`${formatHubName(name)} is not in ${options.to ?? hubCacheDirectory() ?? 'a cache'}`);
  const paths = filesIn(directory).map((path) => relative(directory, path).split(sep).join('/'));
  const files = { id: name.id, paths, readJson: (path: string) => readJson(join(directory, path)) };
  const { variant, files: only, report } = options;
  const chosen = await selectFiles(files, { variant, only, report });
  report?.(`HF_HUB_OFFLINE is set: ${directory} has the ${chosen.length} files that are needed`);
  return { directory, files: chosen.length, bytes: 0, fetched: 0 };
}

/** What is missing, and why it is not fetched. */
export const offlineError = (problem: string): HubError =>
  new HubError(`${problem}, and HF_HUB_OFFLINE is set: unset it to fetch from the hub`);

/** Every file below a folder; a link counts as what it leads to, and not at all where that is gone. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesIn(path);
    return existsSync(path) ? [path] : [];
  });
}
