import { open } from 'node:fs/promises';

import { z } from 'zod';

import { CheckpointError } from './errors.js';
import type { DType } from './native/binding.js';
import { binding } from './native/index.js';
import type { Tensor } from './tensor.js';

/** The format's own ceiling: a longer header is damage or an attack. */
const maxHeaderBytes = 100_000_000;

const dtypes = {
  F64: { dtype: 'float64', bytes: 8 },
  I64: { dtype: 'int64', bytes: 8 },
  F32: { dtype: 'float32', bytes: 4 },
  I32: { dtype: 'int32', bytes: 4 },
  F16: { dtype: 'float16', bytes: 2 },
  BF16: { dtype: 'bfloat16', bytes: 2 },
} as const satisfies Record<string, { dtype: DType; bytes: number }>;

type StoredDType = keyof typeof dtypes;
const storedDTypes = Object.keys(dtypes) as StoredDType[];

const size = z.int().min(0);
const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(size).max(16),
  data_offsets: z.tuple([size, size]),
});

export interface TensorEntry {
  name: string;
  dtype: DType;
  shape: number[];
  /** Bytes from the start of the data section. */
  begin: number;
  end: number;
}

export interface SafetensorsHeader {
  entries: TensorEntry[];
  metadata: Record<string, string>;
  /** Where the data section starts, in bytes from the start of the file. */
  dataStart: number;
}

/**
 * Reads and checks a safetensors header: every tensor's dtype, shape and place, and that the tensors cover the data
 * section exactly, without gaps or overlaps.
 * @throws CheckpointError that says what is wrong with the file
 */
export async function readHeader(path: string): Promise<SafetensorsHeader> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw new CheckpointError(`cannot open ${path}: ${(error as Error).message}`, { cause: error });
  }
  try {
    const fileBytes = (await file.stat()).size;
    const prefix = Buffer.alloc(8);
    if ((await file.read(prefix, 0, 8, 0)).bytesRead < 8) {
      throw new CheckpointError(`${path} is ${fileBytes} bytes long: cut short, or not a safetensors file`);
    }
    const headerBytes = prefix.readBigUInt64LE();
    if (headerBytes > BigInt(maxHeaderBytes) || headerBytes > BigInt(fileBytes - 8)) {
      throw new CheckpointError(
        `${path} announces a header of ${headerBytes} bytes in a file of ${fileBytes}: cut short, or not a safetensors file`,
      );
    }
    const header = Buffer.alloc(Number(headerBytes));
    await file.read(header, 0, header.length, 8);
    return parseHeader(header, fileBytes, path);
  } finally {
    await file.close();
  }
}

/** Checks the header's JSON (without the eight bytes of its length) against a file of `fileBytes` bytes. */
export function parseHeader(header: Uint8Array, fileBytes: number, path: string): SafetensorsHeader {
  const fail = (problem: string): never => {
    throw new CheckpointError(`${path} is not a valid safetensors file: ${problem}`);
  };
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(header));
  } catch (error) {
    throw new CheckpointError(`${path} is not a valid safetensors file: its header is not JSON`, { cause: error });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) fail('its header is not a JSON object');

  const dataStart = 8 + header.length;
  const dataBytes = fileBytes - dataStart;
  const metadata: Record<string, string> = {};
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(json as object)) {
    if (name === '__metadata__') {
      const parsed = z.record(z.string(), z.string()).safeParse(value);
      Object.assign(metadata, parsed.success ? parsed.data : fail('__metadata__ is not a map of strings'));
      continue;
    }
    entries.push(checkEntry(name, value, dataBytes, fail));
  }

  let position = 0;
  for (const entry of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (entry.begin < position) fail(`tensor "${entry.name}" overlaps the one before it at byte ${entry.begin}`);
    if (entry.begin > position) fail(`bytes ${position} to ${entry.begin} belong to no tensor`);
    position = entry.end;
  }
  if (position !== dataBytes) fail(`its tensors end at byte ${position} of ${dataBytes} bytes of data`);
  return { entries, metadata, dataStart };
}

function checkEntry(name: string, value: unknown, dataBytes: number, fail: (problem: string) => never): TensorEntry {
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    return fail(`tensor "${name}", ${issue.path.join('.') || 'entry'}: ${issue.message}`);
  }
  const { dtype, shape, data_offsets: [begin, end] } = parsed.data;
  if (!Object.hasOwn(dtypes, dtype)) {
    fail(`tensor "${name}" has dtype ${dtype}; supported are ${storedDTypes.join(', ')}`);
  }
  const stored = dtypes[dtype as StoredDType];
  const bytes = shape.reduce((product, length) => product * length, stored.bytes);
  if (begin > end || end > dataBytes) {
    fail(`tensor "${name}" lies at bytes ${begin} to ${end}, outside the ${dataBytes} bytes of data: the file is cut short or damaged`);
  }
  if (end - begin !== bytes) {
    fail(`tensor "${name}" of shape [${shape.join(', ')}] and dtype ${dtype} needs ${bytes} bytes, its place has ${end - begin}`);
  }
  return { name, dtype: stored.dtype, shape, begin, end };
}

/**
 * Maps a safetensors file's tensors into memory (read only, not copied).
 * @throws CheckpointError for a file that is missing, cut short or damaged
 */
export async function loadTensors(path: string): Promise<Record<string, Tensor>> {
  const { entries } = await readHeader(path);
  return binding().mapTensors(path, entries);
}

/** The eight length bytes and the header of a file that holds `tensors`, in the order in which they are stored. */
export function buildHeader(
  tensors: readonly { name: string; dtype: DType; shape: readonly number[] }[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length) header['__metadata__'] = metadata;
  let position = 0;
  for (const { name, dtype, shape } of tensors) {
    const stored = storedDTypes.find((key) => dtypes[key].dtype === dtype)!;
    const end = position + shape.reduce((product, length) => product * length, dtypes[stored].bytes);
    header[name] = { dtype: stored, shape, data_offsets: [position, end] };
    position = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  return bytes;
}

/** Writes tensors to a safetensors file, synced to disk; nothing is left at `path` if it fails. */
export async function saveTensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  // Wide types first keeps every tensor aligned to its element.
  const widthOf = (dtype: DType) => Object.values(dtypes).find((stored) => stored.dtype === dtype)!.bytes;
  const stored = Object.entries(tensors)
    .map(([name, tensor]) => ({ name, tensor, dtype: tensor.dtype, shape: tensor.shape }))
    .sort((a, b) => widthOf(b.dtype) - widthOf(a.dtype) || (a.name < b.name ? -1 : 1));
  await binding().writeTensors(path, buildHeader(stored, metadata), stored.map(({ tensor }) => tensor));
}

/** Disposes of every tensor of a set. */
export function disposeAll(tensors: Readonly<Record<string, Tensor>> | readonly Tensor[]): void {
  for (const tensor of Object.values(tensors)) tensor.dispose();
}
