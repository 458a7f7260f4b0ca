// Where fetched files come to lie: in the hub's cache, as huggingface_hub lays it out, or in a folder.

import { existsSync, statSync } from 'node:fs';
import { copyFile, link, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';

import { isCommit, repositoryFolder } from '../../files/hub-cache.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { digestOf } from './download.js';
import type { HubFile } from './listing.js';
import type { Asked } from './refusal.js';

/** Files of one commit of a repository, each whole or not there. */
export interface Store {
  /** The folder that the repository's paths are below. */
  folder: string;
  /** Where a file is written until it is whole; the next try finds it there. */
  partial(file: HubFile): string;
  /** Whether a file is there, with its size; puts it into its place where only its blob is. */
  has(file: HubFile): Promise<boolean>;
  /** Puts a whole file into its place. */
  take(file: HubFile): Promise<void>;
  /** Says that all that was wanted of the commit is there. */
  finish(): Promise<void>;
  /** A file that whoever writes to the store holds. */
  lock: string;
}

/** The store in the hub's cache. */
export function cacheStore(cache: string, { id, revision }: Asked, commit: string): Store {
  const repository = repositoryFolder(cache, id);
  const folder = join(repository, 'snapshots', commit);
  const blobOf = ({ blob }: HubFile) => join(repository, 'blobs', blob);
  const refer = (file: HubFile) => linkTo(blobOf(file), join(folder, file.path));
  return {
    folder,
    // huggingface_hub's own partial files have other names: neither writes into the other's.
    partial: (file) => `${blobOf(file)}.eam.incomplete`,
    async has(file) {
      if (sizeOf(join(folder, file.path)) === file.size) return true;
      if (sizeOf(blobOf(file)) !== file.size) return false;
      await refer(file);
      return true;
    },
    async take(file) {
      await rename(this.partial(file), blobOf(file));
      await refer(file);
    },
    // The name is written last, so that until then it means the commit that it meant before.
    async finish() {
      if (isCommit(revision)) return;
      const ref = join(repository, 'refs', revision);
      makeDirectory(dirname(ref));
      await writeFile(`${ref}.eam`, commit);
      await rename(`${ref}.eam`, ref);
    },
    lock: join(cache, '.locks', basename(repository), 'eam-torch.lock'),
  };
}

/** A folder that holds the files at their paths, as `--to` names it. */
export function folderStore(folder: string): Store {
  const placeOf = ({ path }: HubFile) => join(folder, path);
  return {
    folder,
    partial: (file) => `${placeOf(file)}.incomplete`,
    has: async (file) => sizeOf(placeOf(file)) === file.size && (await digestOf(placeOf(file), file)) === file.blob,
    async take(file) {
      await rename(this.partial(file), placeOf(file));
    },
    finish: async () => {},
    lock: join(folder, '.eam-torch.lock'),
  };
}

const sizeOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.size;

/** Makes `path` a link to `target`: relative, so that the cache can be moved; a copy where there can be no links. */
export async function linkTo(target: string, path: string): Promise<void> {
  makeDirectory(dirname(path));
  await rm(path, { force: true });
  try {
    await symlink(relative(dirname(path), target), path);
    if (existsSync(path)) return;
    // Through a link to a folder, `..` may lead elsewhere.
    await unlink(path);
  } catch {
    // Windows keeps links for administrators and developers, and some file systems have none.
  }
  await link(target, path).catch(() => copyFile(target, path));
}
