import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { z } from 'zod';

import { expected } from '../schema/validate.js';
import { CheckpointError } from '../errors.js';
import { makeDirectory } from '../runtime/make-directory.js';
import { sync, writeSynced } from './sync.js';

export const manifestName = 'manifest.json';

const manifestSchema = z.strictObject({
  format: z.literal(1),
  step: z.int().min(0),
  files: z.record(
    z.string().regex(/^[\w.-]+$/),
    z.strictObject({ bytes: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  ),
});

const manifestText = (manifest: unknown): string => `${JSON.stringify(manifest, null, 2)}\n`;

/** A checkpoint on disk. */
export interface Checkpoint {
  /** The step after which it was written; 0 is before the first. */
  step: number;
  /** The folder that holds it, `step-N`. */
  directory: string;
}

/** The checkpoints below `root`, oldest first. Half-written and half-removed ones (`step-N.tmp`) are not among them. */
export async function listCheckpoints(root: string): Promise<Checkpoint[]> {
  return (await namesIn(root))
    .flatMap((name) => {
      const match = /^step-(0|[1-9]\d{0,14})$/.exec(name);
      return match ? [{ step: Number(match[1]), directory: join(root, name) }] : [];
    })
    .sort((a, b) => a.step - b.step);
}

/** No folder has no names; one that cannot be read is an error: a run must not start anew for want of a permission. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code!)) return [];
    throw new CheckpointError(`cannot read ${folder}: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * Writes checkpoint `step` so that it is either whole or absent: files are written aside, synced, listed with their
 * SHA-256 in a manifest, and the directory is renamed into place last. Then the oldest beyond `keep` are removed, and
 * what killed processes left half-written.
 *
 * @throws CheckpointError where it cannot be written
 * @param write puts the checkpoint's files, without subdirectories, into the directory it is given
 */
export async function writeCheckpoint(
  root: string,
  step: number,
  keep: number,
  write: (directory: string) => Promise<void>,
): Promise<Checkpoint> {
  const directory = join(root, `step-${step}`);
  const aside = `${directory}.tmp`;
  // A resumed run comes to the same state at this step; only a damaged checkpoint gives way.
  const existing = await verifyCheckpoint(directory).catch(() => undefined);
  if (existing) return existing;
  try {
    makeDirectory(root);
    await rm(directory, { recursive: true, force: true });
    await rm(aside, { recursive: true, force: true });
    await mkdir(aside);
    await write(aside);
    const files: z.output<typeof manifestSchema>['files'] = {};
    for (const name of (await readdir(aside)).sort()) {
      const path = join(aside, name);
      await sync(path);
      files[name] = { bytes: (await stat(path)).size, sha256: await sha256(path) };
    }
    await writeSynced(join(aside, manifestName), manifestText({ format: 1, step, files }));
    await sync(aside);
    await rename(aside, directory);
    await sync(root);
    await sync(dirname(root));
  } catch (error) {
    await rm(aside, { recursive: true, force: true }).catch(() => undefined);
    throw new CheckpointError(`checkpoint ${directory} could not be written: ${(error as Error).message}`, {
      cause: error,
    });
  }
  try {
    await makeRoom(root, step, keep);
  } catch (error) {
    throw new CheckpointError(
      `checkpoint ${directory} is written, but older ones could not be removed: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
  return { step, directory };
}

/**
 * Removes the oldest checkpoints up to `step`, beyond `keep`, and what killed processes left half-written or
 * half-removed. Not while another process writes to `root`.
 */
export async function makeRoom(root: string, step: number, keep: number): Promise<void> {
  // Later ones are damaged: the run was resumed from before them. They must not make this one give way.
  const written = (await listCheckpoints(root)).filter((checkpoint) => checkpoint.step <= step);
  // Renamed first: a process killed while it removes one leaves no half of a checkpoint under a checkpoint's name.
  for (const { directory } of written.slice(0, Math.max(0, written.length - keep)))
    await rename(directory, `${directory}.tmp`);
  for (const name of await namesIn(root)) {
    if (/^step-\d+\.tmp$/.test(name)) await rm(join(root, name), { recursive: true, force: true });
  }
}

/** Removes every checkpoint below `root`. Not while another process writes to it. */
export async function removeCheckpoints(root: string): Promise<void> {
  await makeRoom(root, Infinity, 0);
}

/** Whether `directory` says that it is a checkpoint, whole or not. */
export async function hasManifest(directory: string): Promise<boolean> {
  return (await namesIn(directory)).includes(manifestName);
}

/**
 * Checks every file of a checkpoint against its manifest.
 * @param required files that must be among them
 * @throws CheckpointError naming the file that is missing, of another size or changed
 */
export async function verifyCheckpoint(directory: string, required: readonly string[] = []): Promise<Checkpoint> {
  const fail = (problem: string, cause?: unknown): never => {
    throw new CheckpointError(`checkpoint ${directory} cannot be used: ${problem}`, { cause });
  };
  let text = '';
  try {
    text = await readFile(join(directory, manifestName), 'utf8');
  } catch (error) {
    fail(`${manifestName} cannot be read (${(error as Error).message})`, error);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    fail(`${manifestName} is not JSON`, error);
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) return fail(`${manifestName} is not a manifest of format 1: ${parsed.error.issues[0]!.message}`);
  // Nothing vouches for the manifest itself, so it has to be what was written to the letter: no key twice, no byte
  // less.
  if (text !== manifestText(json)) fail(`${manifestName} was changed since it was written`);
  for (const [name, written] of Object.entries(parsed.data.files)) {
    const path = join(directory, name);
    const found = await stat(path).catch((error: NodeJS.ErrnoException) =>
      fail(error.code === 'ENOENT' ? `${name} is missing` : `${name} cannot be read (${error.message})`, error),
    );
    if (!found.isFile()) fail(`${name} is not a regular file`);
    if (found.size !== written.bytes) fail(expected(name, `${written.bytes} bytes`, found.size));
    const found256 = await sha256(path).catch((error: Error) =>
      fail(`${name} cannot be read (${error.message})`, error),
    );
    if (found256 !== written.sha256) fail(`${name} does not match its checksum`);
  }
  for (const name of required) {
    if (!Object.hasOwn(parsed.data.files, name)) fail(`${name} is not listed in ${manifestName}`);
  }
  return { step: parsed.data.step, directory };
}

/**
 * The newest checkpoint below `root` whose files all match its manifest; `undefined` if there is none.
 * @param onRejected told of each newer one that was passed over, and why
 */
export async function newestWholeCheckpoint(
  root: string,
  onRejected?: (error: CheckpointError) => void,
): Promise<Checkpoint | undefined> {
  for (const { step, directory } of (await listCheckpoints(root)).reverse()) {
    try {
      const checkpoint = await verifyCheckpoint(directory);
      if (checkpoint.step === step) return checkpoint;
      throw new CheckpointError(
        `checkpoint ${directory} cannot be used: its ${manifestName} is of step ${checkpoint.step}`,
      );
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      onRejected?.(error);
    }
  }
  return undefined;
}

/**
 * Replaces a file in one step: a reader, or a run killed here, sees the old one or the new one.
 * @throws CheckpointError where it cannot be written; the old one is then what it was
 */
export async function replaceFile(path: string, data: string | Uint8Array): Promise<void> {
  const aside = `${path}.tmp`;
  try {
    await writeSynced(aside, data);
    await rename(aside, path);
    await sync(dirname(path));
  } catch (error) {
    await rm(aside, { force: true }).catch(() => undefined);
    throw new CheckpointError(`${path} could not be written: ${(error as Error).message}`, { cause: error });
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
