// From a listing to files: what is to come is told, asked about where it is much, and fetched file by file.

import { resolve } from 'node:path';

import { ConfigError } from '../../errors.js';
import { formatHubName, hubCacheDirectory, type HubName } from '../../files/hub-cache.js';
import { noCacheDirectory } from '../../runtime/native/libtorch.js';
import { expected } from '../../schema/validate.js';
import { freeBytes } from '../free-space.js';
import { withLock } from '../lock.js';
import { gigabytes, megabytes } from '../text.js';
import { download } from './download.js';
import { HubError } from './error.js';
import { listRepository, type HubFile } from './listing.js';
import type { FileSelection } from './selection.js';
import { hubSettings } from './settings.js';
import { cacheStore, folderStore, type Store } from './store.js';
import { openHub, type Hub, type HubOptions } from './transport.js';

/** Options of `fetchModel`. */
export interface FetchOptions extends HubOptions, Pick<FileSelection, 'variant'> {
  /** A folder for the files; default: the hub's cache, which is shared with Python. */
  to?: string | undefined;
  /** A branch, a tag or a commit; default 'main'. */
  revision?: string | undefined;
  /** Take these files and no others. */
  files?: readonly string[] | undefined;
  /** Whether a gigabyte or more is fetched without asking; default false. */
  yes?: boolean | undefined;
  /** Asks whether so many bytes are to be fetched; left out, they are refused without `yes`. */
  confirm?: ((question: string) => Promise<boolean>) | undefined;
  /** It is told how many bytes of how many there are. */
  onBytes?: ((done: number, total: number) => void) | undefined;
  /** The bytes that a folder's disk has free; default: what the system says. */
  freeBytes?: ((folder: string) => number) | undefined;
}

/** What `fetchModel` brought. */
export interface Fetched {
  /** The folder that holds the files. */
  directory: string;
  /** How many files there are of those that are needed. */
  files: number;
  /** How many bytes they have; 0 where nobody was asked. */
  bytes: number;
  /** How many bytes of them came now. */
  fetched: number;
}

/** Bytes from which on somebody is asked. */
const askedFrom = 1e9;

/** One repository: what is wanted of it, and where it goes. */
export interface Opened {
  hub: Hub;
  commit: string;
  store: Store;
  wanted: HubFile[];
}

/** Chooses paths among a repository's files. */
type Choose = (hub: Hub, files: readonly HubFile[], place: { commit: string; store: Store }) => Promise<string[]>;

export async function openRepository(name: HubName, options: FetchOptions, chosen: Choose): Promise<Opened> {
  const hub = openHub(hubSettings(), name, options);
  const { commit, files } = await listRepository(hub);
  const store = options.to === undefined ? cacheStore(requireCache(), name, commit) : folderStore(resolve(options.to));
  const paths = new Set(await chosen(hub, files, { commit, store }));
  return { hub, commit, store, wanted: files.filter(({ path }) => paths.has(path)) };
}

function requireCache(): string {
  const cache = hubCacheDirectory();
  if (cache !== undefined) return cache;
  throw new ConfigError(`There is no cache of the hub: ${noCacheDirectory}. Set HF_HOME, or name a folder: --to DIR`);
}

export async function fetchOne(
  { hub, commit, store }: Omit<Opened, 'wanted'>,
  file: HubFile,
  options: { onBytes?: (bytes: number) => void; signal?: AbortSignal | undefined },
): Promise<void> {
  if (await store.has(file)) return;
  await download(hub, commit, file, store.partial(file), options);
  await store.take(file);
}

/** Lists what is to come, asks, and fetches it. */
export async function fetchAll(all: readonly Opened[], directory: string, options: FetchOptions): Promise<Fetched> {
  const { report = () => {}, onBytes, signal } = options;
  const missing = new Map<HubFile, Opened>();
  for (const opened of all) {
    const { hub, commit, wanted, store } = opened;
    report(`${formatHubName(hub.asked)} (${commit.slice(0, 7)}), into ${store.folder}:`);
    for (const file of wanted) {
      const isThere = await store.has(file);
      if (!isThere) missing.set(file, opened);
      report(`  ${sizeText(file.size).padStart(8)}  ${file.path}${isThere ? ', there already' : ''}`);
    }
  }
  const files = all.flatMap(({ wanted }) => wanted);
  const bytes = sum(files);
  const toCome = sum([...missing.keys()]);
  report(`${files.length} files of ${sizeText(bytes)}, ${sizeText(toCome)} of it to fetch`);
  checkRoom(all, missing, options);
  await ask(toCome, options);
  let done = 0;
  for (const [file, opened] of missing) {
    const before = done;
    await withLock(opened.store.lock, report, () =>
      fetchOne(opened, file, { signal, onBytes: (there) => onBytes?.(before + there, toCome) }),
    );
    done += file.size;
    report(`${opened.hub.asked.id}/${file.path}: ${sizeText(file.size)}, its hash is right`);
  }
  for (const { store } of all) await store.finish();
  return { directory, files: files.length, bytes, fetched: toCome };
}

const sum = (files: readonly HubFile[]): number => files.reduce((total, { size }) => total + size, 0);

const sizeText = (bytes: number): string => (bytes >= 1e9 ? gigabytes(bytes) : megabytes(bytes));

/** @throws HubError where the disk has too little room */
function checkRoom(
  all: readonly Opened[],
  missing: ReadonlyMap<HubFile, Opened>,
  { freeBytes: free = freeBytes }: FetchOptions,
): void {
  for (const opened of all) {
    const { folder } = opened.store;
    const bytes = sum([...missing].filter(([, owner]) => owner === opened).map(([file]) => file));
    const room = free(folder);
    if (bytes <= room) continue;
    const hint = 'Make room there, or name another disk: --to DIR, or HF_HOME';
    throw new HubError(`${expected(folder, `${sizeText(bytes)} free`, sizeText(room))}. ${hint}`);
  }
}

async function ask(bytes: number, { yes = false, confirm }: FetchOptions): Promise<void> {
  if (bytes < askedFrom || yes) return;
  if (!confirm) throw new ConfigError(`${sizeText(bytes)} are to be fetched: say --yes where nobody can be asked`);
  if (await confirm(`Fetch ${sizeText(bytes)}?`)) return;
  throw new ConfigError(`${sizeText(bytes)} were not wanted, and nothing of them was fetched`);
}
