import { isDataset } from '../../files/hub-cache.js';
import { HubError } from './error.js';
import type { Hub } from './transport.js';

/** One file of a repository, as the hub describes it. */
export interface HubFile {
  /** Its path in the repository, with slashes. */
  path: string;
  /** Its size in bytes. */
  size: number;
  /** What the cache names its blob: the SHA-256 of a large file, Git's SHA-1 of a small one. */
  blob: string;
  /** Whether the blob's name is the SHA-256. */
  isLarge: boolean;
}

/** A repository at one commit. */
export interface Listing {
  commit: string;
  files: HubFile[];
}

/** Lists a repository at its revision. @throws HubError where it may not be seen, or names a file outside itself */
export async function listRepository({ settings, asked, fetch }: Hub): Promise<Listing> {
  const { datasetInfo, listFiles, modelInfo } = await import('@huggingface/hub');
  const hubUrl = settings.endpoint;
  const { id, revision } = asked;
  const wanted = { revision, additionalFields: ['sha' as const], hubUrl, fetch };
  const info = isDataset(id)
    ? datasetInfo({ name: id.replace(/^datasets\//, ''), ...wanted })
    : modelInfo({ name: id, ...wanted });
  const { sha } = await info;
  if (!/^[0-9a-f]{40}$/.test(sha)) throw new HubError(`the hub names no commit of ${id} at ${revision}`);
  const files: HubFile[] = [];
  for await (const { type, path, size, oid, lfs } of listFiles({
    repo: id,
    revision: sha,
    recursive: true,
    hubUrl,
    fetch,
  })) {
    if (type !== 'file') continue;
    if (!isInside(path)) throw new HubError(`${id} names a file outside its own folder: ${JSON.stringify(path)}`);
    const blob = lfs?.oid ?? oid ?? '';
    if (!/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(blob) || !Number.isSafeInteger(size) || size < 0)
      throw new HubError(`the hub describes ${path} of ${id} without its size and its hash`);
    files.push({ path, size: lfs?.size ?? size, blob, isLarge: lfs !== undefined });
  }
  return { commit: sha, files };
}

/** Whether a path of a repository stays below the folder that it is joined to, on every system. */
const isInside = (path: string): boolean =>
  path !== '' && !path.includes('\\') && path.split('/').every((part) => !/^$|^\.\.?$|^[a-zA-Z]:|\0/.test(part));
