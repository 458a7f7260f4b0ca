import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { CheckpointError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { parseHeader } from '../../lib/files/safetensors-header.js';
import { buildHeader, loadTensors, readHeader } from '../../lib/files/safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'eam-safetensors-'));

/** A file with this header (JSON, text or bytes) and so many bytes of data. */
function file(header: unknown, dataBytes: number, announced?: bigint): string {
  const json = Buffer.isBuffer(header)
    ? header
    : Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(announced ?? BigInt(json.length));
  const path = join(folder, `${Math.random().toString(36).slice(2)}.safetensors`);
  writeFileSync(path, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
  return path;
}

const f32 = (shape: number[], begin: number, end: number) => ({ dtype: 'F32', shape, data_offsets: [begin, end] });

describe('a safetensors header', () => {
  it('is read with its metadata', async () => {
    const path = file(
      { __metadata__: { format: 'pt' }, b: f32([2], 8, 16), a: { dtype: 'F16', shape: [2, 2], data_offsets: [0, 8] } },
      16,
    );
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

  const entry = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
  const size = (text: string) => file(`{"a":{"dtype":"F32","shape":[${text}],"data_offsets":[0,4]}}`, 4);

  it.each<{ what: string; path: string; message: RegExp }>([
    {
      what: 'a length beyond the file',
      path: file({ a: f32([1], 0, 4) }, 4, 1n << 40n),
      message: /announces a header of 1099511627776 bytes/,
    },
    {
      what: 'a length that overflows',
      path: file({ a: f32([1], 0, 4) }, 4, (1n << 64n) - 1n),
      message: /announces a header/,
    },
    {
      what: 'a length that reaches into the data',
      path: file({ a: f32([1], 0, 4) }, 4, 56n),
      message: /expected its end, got "\\u0000/,
    },
    {
      what: 'data cut in half',
      path: file({ a: f32([4], 0, 16) }, 8),
      message: /tensor "a" lies at bytes 0 to 16, outside the 8 bytes/,
    },
    {
      what: 'data that no tensor owns',
      path: file({ a: f32([1], 0, 4) }, 12),
      message: /its tensors end at byte 4 of 12/,
    },
    { what: 'trailing garbage', path: file(`{"a":${entry}} x`, 4), message: /expected its end, got "x"/ },
    { what: 'a second object', path: file(`{"a":${entry}}{}`, 4), message: /expected its end, got "{}"/ },
    {
      what: 'a gap',
      path: file({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12),
      message: /bytes 4 to 8 belong to no tensor/,
    },
    { what: 'an overlap', path: file({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12), message: /tensor "b" overlaps/ },
    {
      what: 'the same place twice',
      path: file({ a: f32([1], 0, 4), b: f32([1], 0, 4) }, 4),
      message: /tensor "b" overlaps/,
    },
    {
      what: 'a size that is not its shape',
      path: file({ a: f32([3], 0, 8) }, 8),
      message: /tensor "a", data_offsets: expected 12 bytes for F32 \[3\], got 8$/,
    },
    {
      what: 'a dtype of another size',
      path: file({ a: { dtype: 'F64', shape: [2], data_offsets: [0, 8] } }, 8),
      message: /expected 16 bytes for F64 \[2\], got 8$/,
    },
    {
      what: 'a shape whose product passes 2^53',
      path: file({ a: f32([2 ** 40, 2 ** 40], 0, 8) }, 8),
      message: /expected more bytes than any file has for F32 \[.*\], got 8$/,
    },
    {
      what: 'a shape whose product wraps to its place in 64 bits',
      path: file({ a: f32([2 ** 32, 2 ** 31, 2], 0, 0) }, 0),
      message: /expected more bytes than any file has for F32 \[.*\], got 0$/,
    },
    {
      what: 'an empty tensor with lengths that overflow',
      path: file({ a: f32([0, 2 ** 40, 2 ** 40], 0, 0) }, 0),
      message: /expected more bytes than any file has for F32 \[.*\], got 0$/,
    },
    { what: 'offsets in reverse', path: file({ a: f32([1], 4, 0) }, 4), message: /tensor "a" lies at bytes 4 to 0/ },
    {
      what: 'one offset',
      path: file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}', 4),
      message: /tensor "a" has no data_offsets of two numbers/,
    },
    {
      what: 'three offsets',
      path: file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}', 4),
      message: /data_offsets has more than 2 numbers/,
    },
    {
      what: 'more dimensions than a tensor has',
      path: file({ a: f32(Array(17).fill(1), 0, 4) }, 4),
      message: /shape has more than 16 numbers/,
    },
    {
      what: 'a negative offset',
      path: file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}', 4),
      message: /data_offsets\.0.*expected a whole number/,
    },
    ...[
      '-1',
      '0.5',
      '1.0',
      '1e0',
      '1e309',
      '-0',
      '01',
      '0x1',
      'NaN',
      'Infinity',
      'null',
      '"1"',
      '[1]',
      '9007199254740992',
      '18446744073709551617',
      '9'.repeat(400),
    ].map((text) => ({
      what: `the size ${text.slice(0, 24)}`,
      path: size(text),
      message: /tensor "a", shape\.0, .*expected a whole number from 0 to 2\^53 - 1/,
    })),
    {
      what: 'an unknown dtype',
      path: file({ a: { dtype: 'F8', shape: [4], data_offsets: [0, 4] } }, 4),
      message: /tensor "a", dtype: expected one of F64, .*, got "F8"/,
    },
    {
      what: "a dtype of an object's prototype",
      path: file({ a: { dtype: 'constructor', shape: [4], data_offsets: [0, 4] } }, 4),
      message: /tensor "a", dtype: expected one of F64, .*, got "constructor"/,
    },
    {
      what: 'a missing field',
      path: file({ a: { dtype: 'F32', shape: [1] } }, 4),
      message: /tensor "a" has no data_offsets/,
    },
    {
      what: 'an unknown field',
      path: file({ a: { ...f32([1], 0, 4), strides: [1] } }, 4),
      message: /tensor "a" has an unknown key "strides"/,
    },
    { what: 'a name twice', path: file(`{"a":${entry},"a":${entry}}`, 4), message: /its header has the key "a" twice/ },
    {
      what: 'a name twice, once in escapes',
      path: file(`{"a":${entry},"\\u0061":${entry}}`, 4),
      message: /its header has the key "a" twice/,
    },
    {
      what: 'a field twice',
      path: file('{"a":{"dtype":"F64","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
      message: /tensor "a" has the key "dtype" twice/,
    },
    {
      what: 'metadata twice',
      path: file(`{"__metadata__":{},"__metadata__":{},"a":${entry}}`, 4),
      message: /its header has the key "__metadata__" twice/,
    },
    {
      what: 'a key of metadata twice',
      path: file(`{"__metadata__":{"x":"1","x":"2"},"a":${entry}}`, 4),
      message: /__metadata__ has the key "x" twice/,
    },
    {
      what: "a name that sets an object's prototype",
      path: file(`{"__proto__":${entry}}`, 4),
      message: /cannot be named "__proto__"/,
    },
    { what: 'a name that ends early in C', path: file(`{"a\\u0000b":${entry}}`, 4), message: /cannot be named/ },
    { what: 'half a surrogate pair', path: file(`{"\\ud800":${entry}}`, 4), message: /half a surrogate pair/ },
    { what: 'a string that is not closed', path: file('{"a', 0), message: /a string without an end/ },
    { what: 'a control character in a string', path: file(`{"a\nb":${entry}}`, 4), message: /not a string of JSON/ },
    { what: 'a bad escape', path: file(`{"\\x61":${entry}}`, 4), message: /not a string of JSON/ },
    {
      what: 'metadata that is no map of strings',
      path: file({ __metadata__: { a: 1 } }, 0),
      message: /__metadata__, the value of "a".*expected a string/,
    },
    { what: 'metadata that is a list', path: file({ __metadata__: [] }, 0), message: /__metadata__.*expected '{'/ },
    {
      what: 'a trailing comma',
      path: file(`{"a":${entry},}`, 4),
      message: /its header, a key.*expected a string, got "}"/,
    },
    { what: 'a space before it', path: file(` {"a":${entry}}`, 4), message: /does not start with '{'/ },
    { what: 'a byte order mark', path: file(`\ufeff{"a":${entry}}`, 4), message: /does not start with '{'/ },
    { what: 'a list in its place', path: file('[1]', 0), message: /does not start with '{'/ },
    { what: 'nothing in it', path: file('', 0), message: /does not start with '{'/ },
    {
      what: 'half of it',
      path: file('{"a":', 0),
      message: /tensor "a", character 5 of the header: expected '{', got its end/,
    },
    { what: 'no UTF-8', path: file(Buffer.from([0x7b, 0xff, 0x7d]), 0), message: /its header is not UTF-8/ },
    {
      what: 'half a character of UTF-8',
      path: file(Buffer.from([0x7b, 0x22, 0xc3]), 0),
      message: /its header is not UTF-8/,
    },
    {
      what: 'lists a million deep',
      path: file(`{"a":${'['.repeat(1e6)}`, 0),
      message: /tensor "a", character 5 of the header: expected '{'/,
    },
    {
      what: 'objects a million deep',
      path: file('{"a":'.repeat(1e6), 0),
      message: /tensor "a" has an unknown key "a"/,
    },
    {
      what: 'a million sizes',
      path: file(`{"a":{"dtype":"F32","shape":[${'1,'.repeat(1e6)}1],"data_offsets":[0,4]}}`, 4),
      message: /more than 16 numbers/,
    },
    {
      what: 'a name of a million letters, which its message leaves out',
      path: file(`{"${'n'.repeat(1e6)}":1}`, 0),
      message: /^.{1,400}$/,
    },
    {
      what: 'a million escaped quotation marks',
      path: file(`{"${'\\"'.repeat(1e6)}`, 0),
      message: /a string without an end/,
    },
  ])('is refused with $what', async ({ path, message }) => {
    const error = await readHeader(path).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CheckpointError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(path);
  });

  it("takes names of an object's own, escapes, and metadata named like a prototype", async () => {
    const path = file(
      `{"__metadata__": {"__proto__": "x"}, "constructor" :\t${entry},\n"\\u00fc\\"": {"data_offsets":[4,8], ` +
        '"shape":[], "dtype":"I32"}}   ',
      8,
    );
    const { entries, metadata } = await readHeader(path);
    expect(entries.map(({ name, dtype }) => [name, dtype])).toEqual([
      ['constructor', 'float32'],
      ['ü"', 'int32'],
    ]);
    expect(Object.entries(metadata)).toEqual([['__proto__', 'x']]);
    expect(Object.keys(await loadTensors(path))).toEqual(['constructor', 'ü"']);
  });

  it.runIf(existsSync('/proc/self/io'))('is refused before it is read when it is of more than 100 MB', async () => {
    const bytesRead = () => Number(/^rchar: (\d+)/m.exec(readFileSync('/proc/self/io', 'utf8'))![1]);
    const path = file('{}', 0, 100_000_001n);
    truncateSync(path, 100_000_100);
    const before = bytesRead();
    await expect(readHeader(path)).rejects.toThrow(/announces a header of 100000001 bytes, at most 100000000 are read/);
    expect(bytesRead() - before).toBeLessThan(50e6);
  });

  it('is refused when the file is a folder or a pipe', async () => {
    await expect(readHeader(folder)).rejects.toThrow(/is not a regular file/);
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    await expect(readHeader(pipe)).rejects.toThrow(/is not a regular file/);
    await expect(binding().mapTensors(pipe, [])).rejects.toThrow(/is not a regular file/);
  });

  it('is refused when the file is missing or tiny', async () => {
    await expect(readHeader(join(folder, 'missing'))).rejects.toThrow(CheckpointError);
    const tiny = join(folder, 'tiny');
    writeFileSync(tiny, 'abc');
    await expect(readHeader(tiny)).rejects.toThrow(/3 bytes long: cut short/);
  });

  it('is read back as it was built', () => {
    const bytes = buildHeader(
      [
        { name: 'w', dtype: 'float32', shape: [2, 3] },
        { name: 'h', dtype: 'bfloat16', shape: [5] },
      ],
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
