import { spawn } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';

import { CheckpointError } from '../../lib/errors.js';
import type { DType } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { loadTensors, readHeader, readTensors, removeUnfinished, saveTensors } from '../../lib/files/safetensors.js';
import { compiled, runNode, startTogether } from '../helpers/child.js';

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
    const path = fresh();
    const tensors = example();
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
    expect(JSON.parse(bytes.subarray(8, 8 + header).toString())).toEqual({
      x: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
    });
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
    const header = Buffer.from(
      '{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"F64","shape":[1],"data_offsets":[2,10]}} ',
    );
    const bytes = Buffer.alloc(8 + header.length + 10);
    bytes.writeBigUInt64LE(BigInt(header.length));
    header.copy(bytes, 8);
    bytes.writeDoubleLE(Math.E, 8 + header.length + 2);
    writeFileSync(path, bytes);
    expect(await (await loadTensors(path))['b']!.data()).toEqual(Float64Array.of(Math.E));
  });

  it('gives the same bytes read into memory as mapped, and stays whole there when the file is cut short', async () => {
    const path = fresh();
    const tensors = example();
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
    expect(readdirSync(root).filter((name) => name.includes('.tmp'))).toEqual([]);
  });

  it('is refused when it is cut short by a single byte', async () => {
    const path = fresh();
    await saveTensors(path, example());
    truncateSync(path, readFileSync(path).length - 1);
    await expect(loadTensors(path)).rejects.toThrow(CheckpointError);
  });
});

// The native side is reached with any numbers: it trusts no check made before it.
describe.each(['mapTensors', 'readTensors'] as const)('%s', (load) => {
  const entry = (change: object = {}) => ({
    name: 'x',
    dtype: 'float32' as DType,
    shape: [2],
    begin: 0,
    end: 8,
    ...change,
  });
  const written = async () => {
    const path = fresh();
    await saveTensors(path, { x: from(Float32Array.of(1, 2), [2]) });
    return path;
  };

  it.each([
    {
      what: 'an end behind the file',
      bad: entry({ shape: [4], end: 16 }),
      message: /'x' is at bytes 0 to 16 of the data, which has 8/,
    },
    { what: 'a start before the data', bad: entry({ begin: -8, end: 0 }), message: /'x' is at bytes -8 to 0/ },
    { what: 'an end before its start', bad: entry({ begin: 8, end: 0 }), message: /'x' is at bytes 8 to 0/ },
    {
      what: 'bytes that do not fit the shape',
      bad: entry({ shape: [1] }),
      message: /: tensor 'x': expected 4 bytes for Float \[1\], got 8$/,
    },
    {
      what: 'a shape whose size overflows',
      bad: entry({ shape: [2 ** 31, 2 ** 31, 2 ** 31] }),
      message: /shape: expected fewer elements, got \[2147483648, 2147483648, 2147483648\]/,
    },
    { what: 'an offset that is no number', bad: entry({ begin: NaN }), message: /begin/ },
    { what: 'an offset past 2^53', bad: entry({ end: 2 ** 53 }), message: /end/ },
    { what: 'an unknown dtype', bad: entry({ dtype: 'bool' }), message: /dtype/ },
  ])('refuses $what', async ({ bad, message }) => {
    const mapped = binding()[load](await written(), [bad]);
    await expect(mapped).rejects.toThrow(message);
  });

  it.each([
    { what: 'a missing file', path: () => fresh(), message: /opening failed: No such file/ },
    { what: 'a folder', path: () => root, message: /is not a regular file/ },
    {
      what: 'an empty file',
      path: () => {
        const path = fresh();
        writeFileSync(path, '');
        return path;
      },
      message: /has 0 bytes, too few/,
    },
    {
      what: 'a header longer than the file',
      path: () => {
        const path = fresh();
        writeFileSync(path, Buffer.alloc(16, 0xff));
        return path;
      },
      message: /but the file has 16/,
    },
  ])('refuses $what', async ({ path, message }) => {
    const mapped = binding()[load](path(), [entry()]);
    await expect(mapped).rejects.toThrow(CheckpointError);
    await expect(mapped).rejects.toThrow(message);
  });
});

describe('saving a safetensors file', () => {
  const folderOf = () => mkdtempSync(join(root, 'folder-'));
  const small = { x: from(Float32Array.of(1, 2), [2]) };

  it('says that a folder is in the way, and leaves nothing behind', async () => {
    const folder = folderOf();
    mkdirSync(join(folder, 'x.safetensors', 'mine'), { recursive: true });
    const saving = saveTensors(join(folder, 'x.safetensors'), small);
    await expect(saving).rejects.toThrow(CheckpointError);
    await expect(saving).rejects.toThrow(/x\.safetensors: renaming to it failed: Is a directory/);
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual(['x.safetensors', 'x.safetensors/mine']);
  });

  it('fails in neither of two processes that write the same files at once', async () => {
    const folder = folderOf();
    const script = `
      import { join } from 'node:path';
      const { Tensor } = await import(${compiled('runtime/native/tensor.js')});
      const { saveTensors } = await import(${compiled('files/safetensors.js')});
      const own = { x: Tensor.from(new Float32Array(1 << 14).fill(process.pid), [1 << 14]) };
      // Both start together, and stay together: each file is waited for.
      ${startTogether(2)}
      for (let file = 0; file < 60; ++file) {
        await saveTensors(join(${JSON.stringify(folder)}, file + '.safetensors'), own);
      }
    `;
    const ended = await Promise.all([runNode(script), runNode(script)]);
    expect(ended).toEqual(Array.from({ length: 2 }, () => ({ code: 0, signal: null, stdout: '', stderr: '' })));
    expect(readdirSync(folder).sort()).toEqual(Array.from({ length: 60 }, (_, file) => `${file}.safetensors`).sort());
    for (const name of readdirSync(folder)) {
      // The numbers are those of one process, not of both.
      const data = (await readTensors(join(folder, name)))['x']!.dataSync() as Float32Array;
      expect(new Set(data).size).toBe(1);
    }
  });

  it('passes over what others, or a process of the same number, left beside it', async () => {
    const folder = folderOf();
    const [path, victim] = [join(folder, 'x.safetensors'), join(folder, 'victim')];
    writeFileSync(victim, 'whole');
    const left = Array.from({ length: 1000 }, (_, count) => `x.safetensors.tmp-${process.pid}-${count}`);
    for (const name of left) symlinkSync(victim, join(folder, name));
    await saveTensors(path, small);
    expect(await (await readTensors(path))['x']!.data()).toEqual(Float32Array.of(1, 2));
    expect(readFileSync(victim, 'utf8')).toBe('whole');
    expect(left.map((name) => readlinkSync(join(folder, name)))).toEqual(left.map(() => victim));
    expect(readdirSync(folder)).toHaveLength(left.length + 2);
  });

  it('leaves the old file when its process is killed, and removes what that left by its age', async () => {
    const folder = folderOf();
    const path = join(folder, 'x.safetensors');
    await saveTensors(path, small);
    const script = `
      const { Tensor } = await import(${compiled('runtime/native/tensor.js')});
      const { saveTensors } = await import(${compiled('files/safetensors.js')});
      await saveTensors(${JSON.stringify(path)}, { x: Tensor.from(new Float32Array(1 << 25), [1 << 25]) });
    `;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'ignore' });
    const over = new Promise((resolve) => child.on('close', resolve));
    while (child.exitCode === null && readdirSync(folder).length === 1) await turn();
    child.kill('SIGKILL');
    expect(await over).toBeNull();
    const [, half] = readdirSync(folder).sort();
    expect(half).toBe(`x.safetensors.tmp-${child.pid}-0`);
    expect(await (await readTensors(path))['x']!.data()).toEqual(Float32Array.of(1, 2));
    writeFileSync(join(folder, 'mine.tmp'), '');
    await removeUnfinished(folder, 60_000);
    expect(readdirSync(folder)).toContain(half);
    utimesSync(join(folder, half!), new Date(), new Date(Date.now() - 61_000));
    await removeUnfinished(folder, 60_000);
    expect(readdirSync(folder).sort()).toEqual(['mine.tmp', 'x.safetensors']);
  });

  it('says that the folder does not exist', async () => {
    const path = join(root, 'none', 'x.safetensors');
    await expect(saveTensors(path, { x: from(Float32Array.of(1), [1]) })).rejects.toThrow(
      /creating the file failed: No such file/,
    );
  });
});
