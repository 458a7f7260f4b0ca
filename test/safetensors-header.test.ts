import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { CheckpointError } from '../lib/errors.js';
import { buildHeader, parseHeader, readHeader } from '../lib/safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'eam-safetensors-'));

/** A file with this header (JSON or text) and so many bytes of data. */
function file(header: unknown, dataBytes: number, announced?: bigint): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(announced ?? BigInt(json.length));
  const path = join(folder, `${Math.random().toString(36).slice(2)}.safetensors`);
  writeFileSync(path, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
  return path;
}

const f32 = (shape: number[], begin: number, end: number) => ({ dtype: 'F32', shape, data_offsets: [begin, end] });

describe('a safetensors header', () => {
  it('is read with its metadata', async () => {
    const path = file({ __metadata__: { format: 'pt' }, b: f32([2], 8, 16), a: { dtype: 'F16', shape: [2, 2], data_offsets: [0, 8] } }, 16);
    const header = await readHeader(path);
    expect(header.metadata).toEqual({ format: 'pt' });
    expect(header.entries).toEqual([
      { name: 'b', dtype: 'float32', shape: [2], begin: 8, end: 16 },
      { name: 'a', dtype: 'float16', shape: [2, 2], begin: 0, end: 8 },
    ]);
  });

  it('takes scalars and empty tensors', async () => {
    const path = file({ scalar: f32([], 0, 4), empty: f32([0, 3], 4, 4) }, 4);
    expect((await readHeader(path)).entries.map(({ shape }) => shape)).toEqual([[], [0, 3]]);
  });

  it.each([
    ['a length beyond the file', file({ a: f32([1], 0, 4) }, 4, 1n << 40n), /announces a header of 1099511627776 bytes/],
    ['a length that overflows', file({ a: f32([1], 0, 4) }, 4, (1n << 64n) - 1n), /announces a header/],
    ['data cut in half', file({ a: f32([4], 0, 16) }, 8), /tensor "a" lies at bytes 0 to 16, outside the 8 bytes/],
    ['data that no tensor owns', file({ a: f32([1], 0, 4) }, 12), /its tensors end at byte 4 of 12/],
    ['a gap', file({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12), /bytes 4 to 8 belong to no tensor/],
    ['an overlap', file({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12), /tensor "b" overlaps/],
    ['a size that is not its shape', file({ a: f32([3], 0, 8) }, 8), /tensor "a" of shape \[3\] and dtype F32 needs 12 bytes, its place has 8/],
    ['a shape whose product overflows', file({ a: f32([2 ** 40, 2 ** 40], 0, 8) }, 8), /needs .* bytes, its place has 8/],
    ['offsets in reverse', file({ a: f32([1], 4, 0) }, 4), /tensor "a" lies at bytes 4 to 0/],
    ['a negative size', file({ a: f32([-1], 0, 4) }, 4), /tensor "a", shape\.0/],
    ['a fraction', file({ a: f32([0.5], 0, 4) }, 4), /tensor "a", shape\.0/],
    ['an unknown dtype', file({ a: { dtype: 'F8', shape: [4], data_offsets: [0, 4] } }, 4), /dtype F8; supported are/],
    ["a dtype of an object's prototype", file({ a: { dtype: 'constructor', shape: [4], data_offsets: [0, 4] } }, 4), /dtype constructor; supported are/],
    ['a missing field', file({ a: { dtype: 'F32', shape: [1] } }, 4), /tensor "a", data_offsets/],
    ['metadata that is no map of strings', file({ __metadata__: { a: 1 } }, 0), /__metadata__/],
    ['JSON that is no object', file('[1]', 0), /not a JSON object/],
    ['no JSON', file('{"a":', 0), /its header is not JSON/],
    ['no UTF-8', file(Buffer.from([0x7b, 0xff, 0x7d]).toString('latin1'), 0), /its header is not JSON/],
  ])('with %s is refused', async (_, path, message) => {
    const error = await readHeader(path).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CheckpointError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(path);
  });

  it('of a missing or tiny file is refused', async () => {
    await expect(readHeader(join(folder, 'missing'))).rejects.toThrow(CheckpointError);
    const tiny = join(folder, 'tiny');
    writeFileSync(tiny, 'abc');
    await expect(readHeader(tiny)).rejects.toThrow(/3 bytes long: cut short/);
  });

  it('that is built is read back', () => {
    const bytes = buildHeader(
      [{ name: 'w', dtype: 'float32', shape: [2, 3] }, { name: 'h', dtype: 'bfloat16', shape: [5] }],
      { format: 'pt' },
    );
    expect(bytes.length % 8).toBe(0);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length).toBe(bytes.length - 8);
    const { entries, metadata, dataStart } = parseHeader(bytes.subarray(8), bytes.length + 34, 'built');
    expect(dataStart).toBe(bytes.length);
    expect(metadata).toEqual({ format: 'pt' });
    expect(entries).toEqual([
      { name: 'w', dtype: 'float32', shape: [2, 3], begin: 0, end: 24 },
      { name: 'h', dtype: 'bfloat16', shape: [5], begin: 24, end: 34 },
    ]);
  });
});
