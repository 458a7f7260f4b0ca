import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { z } from 'zod';

import { CheckpointError } from './errors.js';

const manifestName = 'manifest.json';

const manifestSchema = z.strictObject({
  format: z.literal(1),
  step: z.int().min(0),
  files: z.record(
    z.string().regex(/^[\w.-]+$/),
    z.strictObject({ bytes: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  ),
});

/** A checkpoint on disk. */
export interface Checkpoint {
  step: number;
  directory: string;
}

/** The checkpoints below `root`, oldest first. Half-written ones (`step-N.tmp`) are not among them. */
export async function listCheckpoints(root: string): Promise<Checkpoint[]> {
  const names = await readdir(root).catch(() => [] as string[]);
  return names
    .flatMap((name) => {
      const match = /^step-(\d+)$/.exec(name);
      return match ? [{ step: Number(match[1]), directory: join(root, name) }] : [];
    })
    .sort((a, b) => a.step - b.step);
}

/**
 * Writes checkpoint `step` so that it is either whole or absent: files are written aside, synced, listed with their
 * SHA-256 in a manifest, and the directory is renamed into place last. Then the oldest beyond `keep` are removed.
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
    await mkdir(root, { recursive: true });
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
    await writeSynced(join(aside, manifestName), `${JSON.stringify({ format: 1, step, files }, null, 2)}\n`);
    await sync(aside);
    await rename(aside, directory);
    await sync(root);
  } catch (error) {
    await rm(aside, { recursive: true, force: true }).catch(() => undefined);
    throw new CheckpointError(`checkpoint ${directory} could not be written: ${(error as Error).message}`, {
      cause: error,
    });
  }
  for (const { directory: old } of (await listCheckpoints(root)).slice(0, -keep)) {
    await rm(old, { recursive: true, force: true });
  }
  return { step, directory };
}

/**
 * Checks every file of a checkpoint against its manifest.
 * @throws CheckpointError naming the file that is missing, of another size or changed
 */
export async function verifyCheckpoint(directory: string): Promise<Checkpoint> {
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
  for (const [name, expected] of Object.entries(parsed.data.files)) {
    const path = join(directory, name);
    const found = await stat(path).catch((error: Error) => fail(`${name} is missing`, error));
    if (found.size !== expected.bytes) fail(`${name} has ${found.size} bytes, expected ${expected.bytes}`);
    if ((await sha256(path)) !== expected.sha256) fail(`${name} does not match its checksum`);
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
  for (const { directory } of (await listCheckpoints(root)).reverse()) {
    try {
      return await verifyCheckpoint(directory);
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      onRejected?.(error);
    }
  }
  return undefined;
}

/** Replaces a file in one step: a reader, or a run killed here, sees the old one or the new one. */
export async function replaceFile(path: string, data: string | Uint8Array): Promise<void> {
  const aside = `${path}.tmp`;
  await writeSynced(aside, data);
  await rename(aside, path);
  await sync(dirname(path));
}

async function writeSynced(path: string, data: string | Uint8Array): Promise<void> {
  await writeFile(path, data, { flush: true });
}

async function sync(path: string): Promise<void> {
  // Windows cannot open a directory; there the rename itself is journalled.
  if (process.platform === 'win32' && (await stat(path)).isDirectory()) return;
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
