// The cache of the Hugging Face hub as Python's huggingface_hub lays it out (its guide "Understand caching"):
// models--USER--NAME/blobs/HASH, refs/REVISION with a commit, snapshots/COMMIT/PATH as links to blobs; data sets are in
// datasets--USER--NAME.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { cacheDirectory, homeDirectory } from '../runtime/native/libtorch.js';

/** What names a repository on the hub: `user/name`, or `user/name@revision`. */
export interface HubName {
  /** `user/name`; of a data set `datasets/user/name`. */
  id: string;
  /** A branch, a tag or a commit; 'main' where the name says none. */
  revision: string;
}

const part = '[A-Za-z0-9][\\w.-]*';
/** How the ids of data sets begin. */
const datasets = 'datasets/';

/** Tells whether an id is that of a data set, and not of a model. */
export const isDataset = (id: string): boolean => id.startsWith(datasets);

/** No user has these names: the hub's addresses put them before names of other kinds. */
const reserved = /^(models|datasets|spaces)\//;
const pattern = new RegExp(`^(${part}/${part})(?:@([\\w./-]+))?$`);

/** The hub that is asked where HF_ENDPOINT names no other. */
export const publicHub = 'https://huggingface.co';

/** The address of a model's page, as it is copied from a browser, as `user/name` or `user/name@revision`. */
function fromAddress(text: string): string {
  if (!/^https?:\/\//i.test(text)) return text;
  const bare = (address: string) => address.replace(/^https?:\/\/(www\.)?/i, '').replace(/\/+$/, '');
  const page = bare(text.replace(/[?#].*$/, ''));
  const hubs = [process.env['HF_ENDPOINT']?.trim() || publicHub, publicHub, 'https://hf.co'].map(
    (hub) => `${bare(hub)}/`,
  );
  const hub = hubs.find((each) => page.toLowerCase().startsWith(each.toLowerCase()));
  if (hub === undefined) return text;
  const [, id, revision] = /^([^/]+\/[^/]+)(?:\/tree\/([^/]+))?$/.exec(page.slice(hub.length)) ?? [];
  if (id === undefined) return text;
  // The hub writes the slash in a revision such as refs/pr/3 as %2F.
  return revision === undefined ? id : `${id}@${revision.replaceAll(/%2f/gi, '/')}`;
}

/**
 * Reads `user/name`, `user/name@revision`, or the address of such a model's page on the hub, also at a revision
 * (`/tree/v1`); undefined for a text that can be no name of the hub's.
 */
export function parseHubName(text: string): HubName | undefined {
  const [, id, revision = 'main'] = pattern.exec(fromAddress(text)) ?? [];
  if (id === undefined || reserved.test(id) || id.endsWith('.safetensors')) return undefined;
  const outside = [...id.split('/'), ...revision.split('/')].some((each) => each === '..' || each === '');
  return outside ? undefined : { id, revision };
}

/**
 * Reads `datasets/user/name` or `datasets/user/name@revision`, as the hub's addresses have it; undefined for another
 * text. The id keeps the prefix.
 */
export function parseDatasetName(text: string): HubName | undefined {
  if (!text.startsWith(datasets)) return undefined;
  const name = parseHubName(text.slice(datasets.length));
  return name && { ...name, id: datasets + name.id };
}

export const formatHubName = ({ id, revision }: HubName): string => (revision === 'main' ? id : `${id}@${revision}`);

/** A variable of the environment with `~` as a shell would read it, as huggingface_hub does. */
function pathFrom(variable: string): string | undefined {
  const value = process.env[variable];
  return value ? value.replace(/^~(?=\/|$)/, homeDirectory() ?? '~') : undefined;
}

/** HF_HOME, by default `huggingface` in the user's cache; undefined where there is neither. */
export function hubHome(): string | undefined {
  const home = homeDirectory();
  const caches = pathFrom('XDG_CACHE_HOME') ?? (home && join(home, '.cache'));
  return pathFrom('HF_HOME') ?? (caches && join(caches, 'huggingface'));
}

/** HF_HUB_CACHE, by default `hub` in HF_HOME: where the hub's models are kept, shared with Python. */
export function hubCacheDirectory(): string | undefined {
  const home = hubHome();
  return pathFrom('HF_HUB_CACHE') ?? pathFrom('HUGGINGFACE_HUB_CACHE') ?? (home && join(home, 'hub'));
}

/** The folder of one repository in the hub's cache. */
export const repositoryFolder = (cache: string, id: string): string =>
  join(cache, (isDataset(id) ? id : `models/${id}`).replaceAll('/', '--'));

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

/** The folder of a model in the hub's cache, whole or not; undefined where this revision is not there. */
export function snapshotOf({ id, revision }: HubName): string | undefined {
  const cache = hubCacheDirectory();
  if (cache === undefined) return undefined;
  const repository = repositoryFolder(cache, id);
  const commit = isCommit(revision) ? revision : readRef(join(repository, 'refs', revision));
  const snapshot = commit && join(repository, 'snapshots', commit);
  return snapshot && isDirectory(snapshot) ? snapshot : undefined;
}

function readRef(path: string): string | undefined {
  try {
    const commit = readFileSync(path, 'utf8').trim();
    return isCommit(commit) ? commit : undefined;
  } catch {
    return undefined;
  }
}

/** The name on the hub of a folder in its cache, wherever that is: the reverse of {@link snapshotOf}. */
export function nameOfSnapshot(path: string): HubName | undefined {
  const place = /^(.*[\\/]models--([\w.-]+?)--([\w.-]+))[\\/]snapshots[\\/]([0-9a-f]{40})(?![0-9a-f])/;
  const [, repository, user, name, commit] = place.exec(path) ?? [];
  if (repository === undefined) return undefined;
  const isNewest = readRef(join(repository, 'refs', 'main')) === commit;
  return { id: `${user}/${name}`, revision: isNewest ? 'main' : commit! };
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/**
 * Whether a text is to be read as a name of the hub's: it looks like one, and nothing lies at it as a path. A folder
 * that is there comes first.
 */
const namesHub = (source: string): boolean => parseHubName(source) !== undefined && !existsSync(source);

/** The absolute path of a file or folder, or a name of the hub's: what a record of it keeps. */
export const pathOrHubName = (source: string): string =>
  namesHub(source) ? formatHubName(parseHubName(source)!) : resolve(source);

/** Where a folder is, or a model of the hub's in the cache; the path that nothing is at where it is nowhere. */
export function placeOf(source: string): string {
  const name = namesHub(source) ? parseHubName(source) : undefined;
  return (name && snapshotOf(name)) ?? resolve(source);
}

/** Where `eam fetch` puts what it fetches for a published reward, of files from several repositories. */
export const fetchedReward = (reward: string): string => join(cacheDirectory() ?? '', 'rewards', reward);

/**
 * The command that fetches what `source` names, a name of the hub, a folder in its cache or {@link fetchedReward};
 * undefined where no command does.
 */
export function fetchCommand(source: string): string | undefined {
  const reward = /[\\/]rewards[\\/]([a-z0-9]+)$/.exec(source)?.[1];
  if (reward !== undefined && source === fetchedReward(reward)) return `eam fetch ${reward}`;
  const name = namesHub(source) ? parseHubName(source) : nameOfSnapshot(source);
  if (name === undefined) return undefined;
  const { id, revision } = name;
  return `eam fetch ${id}${revision === 'main' ? '' : ` --revision ${revision}`}`;
}

/**
 * What to do where nothing was found at `source`, as the end of a message; empty where it can be fetched from nowhere.
 */
export function fetchHint(source: string): string {
  const command = fetchCommand(source);
  if (command === undefined) return '';
  if (!namesHub(source)) return `; fetch it: ${command}`;
  const cache = hubCacheDirectory();
  const where = cache === undefined ? 'no cache of the hub is here' : `the hub's cache, ${cache}, does not have it`;
  return `; ${where}. If it is meant as a name of the hub, fetch it: ${command}`;
}
