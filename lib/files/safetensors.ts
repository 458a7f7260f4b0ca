import { constants } from 'node:fs';
import { open, readdir, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import { CheckpointError } from '../errors.js';
import { pointerLength, pointerProblem } from '../schema/text.js';
import type { DType } from '../runtime/native/binding.js';
import { binding } from '../runtime/native/index.js';
import {
  parseHeader,
  storedDTypes,
  widenedDTypes,
  type SafetensorsHeader,
  type TensorEntry,
} from './safetensors-header.js';
import type { Tensor } from '../runtime/native/tensor.js';

/** The format's own ceiling: a longer header is damage or an attack. */
const maxHeaderBytes = 100_000_000;

/**
 * Reads and checks a safetensors header: every tensor's dtype, shape and place, and that the tensors cover the data
 * section exactly, without gaps or overlaps.
 * @throws CheckpointError that says what is wrong with the file
 */
export async function readHeader(path: string): Promise<SafetensorsHeader> {
  try {
    // Opening a pipe without O_NONBLOCK would wait for somebody to write into it. Windows has neither.
    const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      return await readHeaderOf(file, path);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    throw new CheckpointError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}

async function readHeaderOf(file: FileHandle, path: string): Promise<SafetensorsHeader> {
  const status = await file.stat();
  if (!status.isFile()) throw new CheckpointError(`${path} is not a regular file`);
  const prefix = Buffer.alloc(8);
  if ((await file.read(prefix, 0, 8, 0)).bytesRead < 8) {
    throw new CheckpointError(`${path} is ${status.size} bytes long: cut short, or not a safetensors file`);
  }
  const headerBytes = prefix.readBigUInt64LE();
  const start = Buffer.alloc(pointerLength);
  await file.read(start, 0, start.length, 0);
  const problem = pointerProblem(start);
  if (problem) throw new CheckpointError(`${path} ${problem}`);
  if (headerBytes > BigInt(status.size - 8)) {
    throw new CheckpointError(
      `${path} announces a header of ${headerBytes} bytes in a file of ${status.size}: cut short, or not a ` +
        'safetensors file',
    );
  }
  if (headerBytes > BigInt(maxHeaderBytes)) {
    throw new CheckpointError(`${path} announces a header of ${headerBytes} bytes, at most ${maxHeaderBytes} are read`);
  }
  const header = Buffer.alloc(Number(headerBytes));
  for (let done = 0; done < header.length; ) {
    const { bytesRead } = await file.read(header, done, header.length - done, 8 + done);
    if (bytesRead === 0) throw new CheckpointError(`${path} was cut short while its header was being read`);
    done += bytesRead;
  }
  return parseHeader(header, status.size, path);
}

/**
 * Maps a safetensors file's tensors into memory (read only, not copied).
 * @throws CheckpointError for a file that is missing, cut short or damaged
 */
export async function loadTensors(path: string): Promise<Record<string, Tensor>> {
  const { entries } = await readHeader(path);
  return binding().mapTensors(path, entries);
}

/**
 * Reads a safetensors file's tensors into memory of their own: no harm comes to them, or to the process, from what
 * others do with the file afterwards.
 * @throws CheckpointError for a file that is missing, cut short or damaged
 */
export async function readTensors(path: string): Promise<Record<string, Tensor>> {
  const { entries } = await readHeader(path);
  return binding().readTensors(path, entries);
}

/** The eight length bytes and the header of a file that holds `tensors`, in the order in which they are stored. */
export function buildHeader(
  tensors: readonly (Pick<TensorEntry, 'name' | 'dtype' | 'stored'> & { shape: readonly number[] })[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length) header['__metadata__'] = metadata;
  let position = 0;
  for (const { name, dtype, stored, shape } of tensors) {
    const known = Object.entries(stored ? widenedDTypes : storedDTypes);
    const [type, { bytes }] = known.find(([, entry]) => (stored ? entry.stored === stored : entry.dtype === dtype))!;
    const end = position + shape.reduce((product, length) => product * length, bytes);
    header[name] = { dtype: type, shape, data_offsets: [position, end] };
    position = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  return bytes;
}

/**
 * Writes tensors to a safetensors file, synced to disk; where that fails, `path` is what it was. Several processes may
 * write the same file at once: it is then that of one of them.
 */
export async function saveTensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  // Wide types first keeps every tensor aligned to its element.
  const widthOf = (dtype: DType) => Object.values(storedDTypes).find((stored) => stored.dtype === dtype)!.bytes;
  const stored = Object.entries(tensors)
    .map(([name, tensor]) => ({ name, tensor, dtype: tensor.dtype, shape: tensor.shape }))
    .sort((a, b) => widthOf(b.dtype) - widthOf(a.dtype) || (a.name < b.name ? -1 : 1));
  await binding().writeTensors(
    path,
    buildHeader(stored, metadata),
    stored.map(({ tensor }) => tensor),
  );
}

/** What {@link saveTensors} names a file until it is whole, with the numbers of its process and of the call. */
const unfinished = /\.tmp-\d+-\d+$/;

/**
 * Removes from a folder the files that killed processes were writing with {@link saveTensors}.
 * @param age milliseconds since a file was last written to; those that were touched later may still be written
 */
export async function removeUnfinished(folder: string, age: number): Promise<void> {
  for (const name of (await readdir(folder)).filter((each) => unfinished.test(each))) {
    const path = join(folder, name);
    // Its writer, or another that removes, may be done with it meanwhile.
    const status = await stat(path).catch(() => undefined);
    if (status && Date.now() - status.mtimeMs >= age) await rm(path, { force: true });
  }
}

/** Disposes of every tensor of a set. */
export function disposeAll(tensors: Readonly<Record<string, Tensor>> | readonly Tensor[]): void {
  for (const tensor of Object.values(tensors)) tensor.dispose();
}
