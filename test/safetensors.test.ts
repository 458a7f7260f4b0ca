import { existsSync, mkdtempSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { CheckpointError } from '../lib/errors.js';
import type { DType } from '../lib/native/binding.js';
import { binding } from '../lib/native/index.js';
import { loadTensors, readHeader, readTensors, saveTensors } from '../lib/safetensors.js';

const root = mkdtempSync(join(tmpdir(), 'eam-safetensors-'));
afterAll(() => rm(root, { recursive: true }));
let files = 0;
const fresh = () => join(root, `${files++}.safetensors`);

const from = binding().Tensor.from;
const example = () => ({
  weights: from(Float32Array.of(1.5, -2, 0, 1e-30, 3, Infinity), [2, 3]),
  'a.name with spaces': from(Float64Array.of(Math.PI), []),
  labels: from(BigInt64Array.of(1n, -(2n ** 62n)), [2]),
  counts: from(Int32Array.of(7, -8, 9), [3]),
  half: from(Uint16Array.of(0x3c00, 0xc000, 0x7bff), [3, 1], { dtype: 'float16' }),
  brain: from(Uint16Array.of(0x3f80, 0xc000, 0x7f7f), [3], { dtype: 'bfloat16' }),
  bytes: from(Uint8Array.of(1, 255, 0), [3]),
  empty: from(new Float32Array(0), [0, 4]),
});

describe('a safetensors file', () => {
  it('brings back names, types, shapes, bits and metadata', async () => {
    const path = fresh(), tensors = example();
    await saveTensors(path, tensors, { made: 'here' });
    const loaded = await loadTensors(path);
    expect(Object.keys(loaded).sort()).toEqual(Object.keys(tensors).sort());
    for (const [name, tensor] of Object.entries(tensors)) {
      expect(loaded[name]).toMatchObject({ shape: tensor.shape, dtype: tensor.dtype, device: 'cpu' });
      expect(await loaded[name]!.data()).toEqual(await tensor.data());
    }
    expect((await readHeader(path)).metadata).toEqual({ made: 'here' });
  });

  it('starts with the length of its header and has the bytes where it says', async () => {
    const path = fresh();
    await saveTensors(path, { x: from(Float32Array.of(1, 2), [2]) });
    const bytes = readFileSync(path);
    const header = Number(bytes.readBigUInt64LE(0));
    expect(JSON.parse(bytes.subarray(8, 8 + header).toString())).toEqual({ x: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } });
    expect([bytes.readFloatLE(8 + header), bytes.readFloatLE(12 + header), bytes.length]).toEqual([1, 2, 16 + header]);
  });

  it('holds one tensor under two names', async () => {
    const path = fresh();
    const x = from(Float32Array.of(1, 2, 3, 4), [2, 2]);
    await saveTensors(path, { x, again: x });
    const loaded = await loadTensors(path);
    expect(await loaded['again']!.data()).toEqual(Float32Array.of(1, 2, 3, 4));
  });

  it('stays readable through tensors that outlive it', async () => {
    const path = fresh();
    await saveTensors(path, { x: from(Float32Array.of(1, 2), [2]) });
    const { x } = await loadTensors(path);
    await rm(path);
    expect(await x!.data()).toEqual(Float32Array.of(1, 2));
  });

  it('is read at places that are not aligned to the type', async () => {
    const path = fresh();
    const header = Buffer.from('{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"F64","shape":[1],"data_offsets":[2,10]}} ');
    const bytes = Buffer.alloc(8 + header.length + 10);
    bytes.writeBigUInt64LE(BigInt(header.length));
    header.copy(bytes, 8);
    bytes.writeDoubleLE(Math.E, 8 + header.length + 2);
    writeFileSync(path, bytes);
    expect(await (await loadTensors(path))['b']!.data()).toEqual(Float64Array.of(Math.E));
  });

  it('read into memory is the same as mapped, and stays whole when the file is cut short', async () => {
    const path = fresh(), tensors = example();
    await saveTensors(path, tensors);
    const read = await readTensors(path);
    truncateSync(path, 8);
    for (const [name, tensor] of Object.entries(tensors)) {
      expect(read[name]).toMatchObject({ shape: tensor.shape, dtype: tensor.dtype, device: 'cpu' });
      expect(await read[name]!.data()).toEqual(await tensor.data());
    }
  });

  it('is replaced by a whole one or not at all', async () => {
    const path = fresh();
    await saveTensors(path, { x: from(Float32Array.of(1, 2), [2]) });
    const mapped = await loadTensors(path);
    await saveTensors(path, { x: from(Float32Array.of(3), [1]) });
    // The old file is still there for whoever has mapped it.
    expect(await mapped['x']!.data()).toEqual(Float32Array.of(1, 2));
    expect(await (await loadTensors(path))['x']!.data()).toEqual(Float32Array.of(3));
    expect(existsSync(`${path}.tmp`)).toBe(false);
  });

  it('cut short by a single byte is refused', async () => {
    const path = fresh();
    await saveTensors(path, example());
    truncateSync(path, readFileSync(path).length - 1);
    await expect(loadTensors(path)).rejects.toThrow(CheckpointError);
  });
});

// The native side is reached with any numbers: it trusts no check made before it.
describe.each(['mapTensors', 'readTensors'] as const)('%s', (load) => {
  const entry = (change: object = {}) => ({ name: 'x', dtype: 'float32' as DType, shape: [2], begin: 0, end: 8, ...change });
  const written = async () => {
    const path = fresh();
    await saveTensors(path, { x: from(Float32Array.of(1, 2), [2]) });
    return path;
  };

  it.each([
    ['an end behind the file', entry({ shape: [4], end: 16 }), /'x' is at bytes 0 to 16 of the data, which has 8/],
    ['a start before the data', entry({ begin: -8, end: 0 }), /'x' is at bytes -8 to 0/],
    ['an end before its start', entry({ begin: 8, end: 0 }), /'x' is at bytes 8 to 0/],
    ['bytes that do not fit the shape', entry({ shape: [1] }), /'x' has 8 bytes, expected 4 for Float \[1\]/],
    ['a shape whose size overflows', entry({ shape: [2 ** 31, 2 ** 31, 2 ** 31] }), /shape/],
    ['an offset that is no number', entry({ begin: NaN }), /begin/],
    ['an offset past 2^53', entry({ end: 2 ** 53 }), /end/],
    ['an unknown dtype', entry({ dtype: 'bool' }), /dtype/],
  ])('refuses %s', async (_, bad, message) => {
    const mapped = binding()[load](await written(), [bad]);
    await expect(mapped).rejects.toThrow(message);
  });

  it.each([
    ['a missing file', () => fresh(), /opening failed: No such file/],
    ['a folder', () => root, /is not a regular file/],
    ['an empty file', () => { const path = fresh(); writeFileSync(path, ''); return path; }, /has 0 bytes, too few/],
    ['a header longer than the file', () => { const path = fresh(); writeFileSync(path, Buffer.alloc(16, 0xff)); return path; }, /but the file has 16/],
  ])('refuses %s', async (_, path, message) => {
    const mapped = binding()[load](path(), [entry()]);
    await expect(mapped).rejects.toThrow(CheckpointError);
    await expect(mapped).rejects.toThrow(message);
  });
});

describe('writing', () => {
  it('says why it failed and leaves no file: a full disk', async (context) => {
    if (!existsSync('/dev/full')) context.skip();
    const path = fresh();
    symlinkSync('/dev/full', `${path}.tmp`); // where the file is written before it is renamed
    const saving = saveTensors(path, { x: from(new Float32Array(1 << 20), [1 << 20]) });
    await expect(saving).rejects.toThrow(CheckpointError);
    await expect(saving).rejects.toThrow(/No space left on device \(ENOSPC\)\. Free some space/);
    expect([existsSync(path), existsSync(`${path}.tmp`)]).toEqual([false, false]);
    expect(existsSync('/dev/full')).toBe(true);
  });

  it('says why it failed: no such folder', async () => {
    const path = join(root, 'none', 'x.safetensors');
    await expect(saveTensors(path, { x: from(Float32Array.of(1), [1]) })).rejects.toThrow(/creating the file failed: No such file/);
  });
});
