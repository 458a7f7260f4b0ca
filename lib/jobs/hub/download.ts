// One file of the hub's, whole and as its hash says, or a part of it that the next try goes on from. The hub's client
// streams files and neither goes on after a cut nor looks at what came.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { sync } from '../../files/sync.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { expected } from '../../schema/validate.js';
import { megabytes } from '../text.js';
import { HubError } from './error.js';
import type { HubFile } from './listing.js';
import { mostRetries, reasonOf, type Hub } from './transport.js';

/** A connection that ended before the file did. */
class Cut extends Error {}

/**
 * Fetches a file into `partial`, from where an earlier try left off, and checks its size and its hash.
 * @param onBytes is told how many of its bytes are there
 * @throws HubError where the hub refuses or sends another file, or the disk takes no more; the signal's reason
 */
export async function download(
  hub: Hub,
  commit: string,
  file: HubFile,
  partial: string,
  options: { onBytes?: (bytes: number) => void; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  makeDirectory(dirname(partial));
  const wasThere = (await bytesIn(partial)) > 0;
  await complete(hub, commit, file, partial, options);
  let found = await digestOf(partial, file);
  if (found !== file.blob && wasThere) {
    // The part that was there may belong to another version of the file.
    await rm(partial);
    await complete(hub, commit, file, partial, options);
    found = await digestOf(partial, file);
  }
  if (found !== file.blob) {
    await rm(partial);
    const what = `${file.isLarge ? 'SHA-256' : "Git's SHA-1"} ${file.blob}`;
    throw new HubError(`${expected(where(hub, file), what, found)}: what came is not what the hub announced`);
  }
  await sync(partial);
}

const where = ({ asked }: Hub, { path }: HubFile): string => `${asked.id}/${path}`;

/** Fetches until the file has its size: goes on after cuts, until several in a row bring nothing. */
async function complete(
  hub: Hub,
  commit: string,
  file: HubFile,
  partial: string,
  { onBytes = () => {}, signal }: { onBytes?: (bytes: number) => void; signal?: AbortSignal | undefined },
): Promise<void> {
  let fruitless = 0;
  for (;;) {
    let have = await bytesIn(partial);
    if (have > file.size) await rm(partial);
    if (have > file.size || file.size === 0) {
      await writeFile(partial, '');
      have = 0;
    }
    if (have === file.size) return;
    try {
      await append(hub, commit, file, partial, { have, onBytes, signal });
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof Cut)) throw error;
      const now = await bytesIn(partial);
      fruitless = now > have ? 1 : fruitless + 1;
      const why = `${where(hub, file)}: ${error.message} at byte ${now} of ${file.size}`;
      if (fruitless > mostRetries)
        throw new HubError(`${why}; ${megabytes(now)} are kept: the same command goes on from there`, { cause: error });
      await hub.pause(fruitless, why);
    }
  }
}

async function append(
  hub: Hub,
  commit: string,
  file: HubFile,
  partial: string,
  { have, onBytes, signal }: { have: number; onBytes: (bytes: number) => void; signal: AbortSignal | undefined },
): Promise<void> {
  const path = file.path.split('/').map(encodeURIComponent).join('/');
  // A compressed answer has other bytes than the range that is asked for.
  const headers = { 'accept-encoding': 'identity', ...(have > 0 && { range: `bytes=${have}-` }) };
  const response = await hub.fetch(`${hub.settings.endpoint}/${hub.asked.id}/resolve/${commit}/${path}`, { headers });
  const begin = response.status === 206 ? rangeBegin(response, hub, file) : 0;
  if (begin !== have && begin !== 0)
    throw new HubError(expected(`${where(hub, file)}: the range`, `bytes from ${have}`, `from ${begin}`));
  let there = begin;
  // Each piece is on its way to the disk before the next is read: a cut loses none of them, as a pipeline would.
  const output = await open(partial, begin > 0 ? 'a' : 'w').catch((error: unknown) => notWritten(error, partial));
  try {
    for await (const chunk of piecesOf(response)) {
      there += chunk.length;
      if (there > file.size)
        throw new HubError(expected(where(hub, file), `${file.size} bytes, as the hub lists`, 'more'));
      await output.writeFile(chunk).catch((error: unknown) => notWritten(error, partial));
      onBytes(there);
      signal?.throwIfAborted();
    }
  } finally {
    await output.close();
  }
  if (there < file.size) throw new Cut('the answer ended');
}

/** What an answer brings, until it ends. @throws Cut where the connection does before */
async function* piecesOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  try {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true };
      if (done) return;
      yield value!;
    }
  } catch (error) {
    throw new Cut(`the connection was cut (${reasonOf(error)})`, { cause: error });
  } finally {
    await reader?.cancel().catch(() => {});
  }
}

function notWritten(error: unknown, path: string): never {
  throw new HubError(`${path} could not be written: ${(error as Error).message}`, { cause: error });
}

/** Where a partial answer begins. @throws HubError for one of a file of another size */
function rangeBegin(response: Response, hub: Hub, file: HubFile): number {
  const range = response.headers.get('content-range') ?? '';
  const [, begin, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(range) ?? [];
  if (begin !== undefined && Number(total) === file.size) return Number(begin);
  throw new HubError(
    expected(`${where(hub, file)}: content-range`, `a part of ${file.size} bytes, as the hub lists`, range || 'none'),
  );
}

async function bytesIn(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** The hash of a file by which the hub names it: SHA-256, or what Git calls a blob of this content. */
export async function digestOf(path: string, { isLarge, size }: Pick<HubFile, 'isLarge' | 'size'>): Promise<string> {
  const hash = isLarge ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
