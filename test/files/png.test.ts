import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';

import { encode, type BitDepth } from 'fast-png';
import { describe, expect, it } from 'vitest';

import { ImageFileError, readPng, type Picture } from '../../lib/files/png/read.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const folder = temporaryFolder();
let files = 0;
function write(bytes: Uint8Array): string {
  const path = join(folder, `${files++}.png`);
  writeFileSync(path, bytes);
  return path;
}
function png(
  width: number,
  height: number,
  channels: number,
  data: Uint8Array | Uint16Array,
  depth: BitDepth = 8,
): Uint8Array {
  return encode({ width, height, channels, data, depth });
}
const patterned = png(
  64,
  64,
  3,
  Uint8Array.from({ length: 3 * 4096 }, (_, i) => (i * i) % 251),
);
function damaged(file: Uint8Array): Uint8Array {
  const copy = file.slice();
  copy[60]! ^= 1;
  return copy;
}
const rounded = (data: Float32Array): number[] => Array.from(data, (value) => Number((255 * value).toFixed(4)));

/** Red, green and blue of each pixel, as bytes. */
function bytesOf({ width, height, data }: Picture): number[] {
  const pixels = width * height;
  return Array.from({ length: 3 * pixels }, (_, i) => 255 * data[(i % 3) * pixels + Math.floor(i / 3)]!).map(
    Math.round,
  );
}
const chunk = (name: string, data: Uint8Array): Buffer => {
  const content = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  checksum.writeUInt32BE(crc32(content));
  return Buffer.concat([length, content, checksum]);
};
/** A PNG of these chunks after its header, of 3 × 1 pixels. */
function custom(type: number, depth: number, chunks: readonly Buffer[], { interlace = 0, filter = 0 } = {}): Buffer {
  const header = chunk('IHDR', Uint8Array.of(0, 0, 0, 3, 0, 0, 0, 1, depth, type, 0, filter, interlace));
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), header, ...chunks, chunk('IEND', new Uint8Array(0))]);
}
const pixels = (...row: number[]): Buffer => chunk('IDAT', deflateSync(Uint8Array.of(0, ...row)));

describe('readPng', () => {
  it('gives red, green and blue apart', async () => {
    const picture = await readPng(write(png(2, 1, 3, Uint8Array.of(1, 2, 3, 4, 5, 6))));
    expect([picture.width, picture.height, rounded(picture.data)]).toEqual([2, 1, [1, 4, 2, 5, 3, 6]]);
  });

  it('makes three equal channels of gray, as the reference scripts do', async () => {
    expect(rounded((await readPng(write(png(2, 1, 1, Uint8Array.of(7, 9))))).data)).toEqual([7, 9, 7, 9, 7, 9]);
  });

  it('takes an alpha channel that hides nothing, and refuses another', async () => {
    expect(rounded((await readPng(write(png(1, 1, 4, Uint8Array.of(1, 2, 3, 255))))).data)).toEqual([1, 2, 3]);
    expect(rounded((await readPng(write(png(1, 1, 2, Uint8Array.of(5, 255))))).data)).toEqual([5, 5, 5]);
    for (const bytes of [png(1, 1, 4, Uint8Array.of(1, 2, 3, 254)), png(2, 1, 2, Uint8Array.of(5, 255, 5, 0))]) {
      await expect(readPng(write(bytes))).rejects.toThrow(/partly transparent; .* on a background/);
    }
  });

  it('keeps sixteen bits, or cuts them to bytes', async () => {
    const path = write(png(1, 1, 3, Uint16Array.of(0x1234, 0xffff, 0x80ff), 16));
    expect(Array.from((await readPng(path)).data)).toEqual(
      [0x1234, 0xffff, 0x80ff].map((value) => Math.fround(value / 65535)),
    );
    expect(rounded((await readPng(path, { bytes: true })).data)).toEqual([0x12, 0xff, 0x80]);
  });

  it.each([
    { what: 'nothing', bytes: new Uint8Array(0), message: /is no PNG: it is empty/ },
    { what: 'another format', bytes: Uint8Array.of(0xff, 0xd8, 0xff, 0xe0), message: /is no PNG/ },
    { what: 'a signature alone', bytes: png(4, 4, 3, new Uint8Array(48)).subarray(0, 20), message: /cut short/ },
    {
      what: 'half a file',
      bytes: patterned.subarray(0, 400),
      message: new RegExp(
        `is cut short: it has 400 bytes, and what it announces ends at byte ${patterned.length - 12} or later$`,
      ),
    },
    {
      what: 'a file without its last chunk',
      bytes: patterned.subarray(0, -12),
      message: new RegExp(
        `it has ${patterned.length - 12} bytes, and what it announces ends at byte ${patterned.length} or later$`,
      ),
    },
    { what: 'a file without its last byte', bytes: patterned.slice(0, -1), message: /cut short: it has/ },
    {
      what: 'pixels that do not decompress',
      bytes: damaged(patterned),
      message: /is damaged: the checksum of its IDAT chunk is another$/,
    },
  ])('refuses $what and names the file', async ({ bytes, message }) => {
    const path = write(bytes);
    const error = await readPng(path).then(
      () => undefined,
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(ImageFileError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(path);
  });

  it('refuses a flipped bit, and a promise of more pixels than memory, before it takes any', async () => {
    const flipped = png(8, 8, 3, new Uint8Array(192)).slice();
    flipped[45]! ^= 1;
    await expect(readPng(write(flipped))).rejects.toThrow(/is damaged: \S.*[^:]$/);
    const huge = png(8, 8, 3, new Uint8Array(192)).slice();
    new DataView(huge.buffer).setUint32(16, 2 ** 31 - 1);
    await expect(readPng(write(huge))).rejects.toThrow(
      /cannot be read: its pixels: expected 1 to \d+ in all, got 2147483647×8$/,
    );
    await expect(readPng(join(folder, 'nowhere.png'))).rejects.toThrow(/nowhere.png: cannot be read/);
  });

  const suite = JSON.parse(readFileSync(new URL('../fixtures/png/suite.json', import.meta.url), 'utf8')) as {
    name: string;
    depth: number;
    file: string;
    rgb: string;
  }[];
  it.each(suite)('reads as Pillow does: $name', async ({ file, depth, rgb }) => {
    const path = write(Buffer.from(file, 'base64'));
    const expected = [...Buffer.from(rgb, 'base64')];
    expect(bytesOf(await readPng(path, { bytes: true }))).toEqual(expected);
    if (depth <= 8) expect(bytesOf(await readPng(path))).toEqual(expected);
  });

  it('cuts sixteen bits of gray off at 255 where bytes are wanted, as Pillow does, or keeps them', async () => {
    const path = write(custom(0, 16, [pixels(0, 200, 1, 0, 0xff, 0xff)]));
    expect(rounded((await readPng(path, { bytes: true })).data).slice(0, 3)).toEqual([200, 255, 255]);
    expect(Array.from((await readPng(path)).data.slice(0, 3))).toEqual(
      [200, 256, 65535].map((v) => Math.fround(v / 65535)),
    );
  });

  it.each([
    { what: 'a gray level', type: 0, depth: 8, row: [1, 2, 3], alpha: [0, 2] },
    { what: 'a gray level, in the bits that count', type: 0, depth: 2, row: [0b00011000], alpha: [0xff, 0xfd] },
    { what: 'a gray level of 16 bits', type: 0, depth: 16, row: [1, 2, 3, 4, 5, 6], alpha: [3, 4] },
    { what: 'a color', type: 2, depth: 8, row: [1, 2, 3, 4, 5, 6, 7, 8, 9], alpha: [0, 4, 0, 5, 0, 6] },
    { what: "a palette's color", type: 3, depth: 2, row: [0b00011000], alpha: [255, 254] },
  ])('refuses a transparency that a pixel has: $what', async ({ type, depth, row, alpha }) => {
    const palette = type === 3 ? [chunk('PLTE', new Uint8Array(9))] : [];
    const file = custom(type, depth, [...palette, chunk('tRNS', Uint8Array.from(alpha)), pixels(...row)]);
    await expect(readPng(write(file))).rejects.toThrow(/is partly transparent/);
  });

  const gray = pixels(1, 2, 3);
  it.each([
    { what: 'a depth that its color type has not', file: custom(2, 4, [gray]), message: /color type 2 with 4 bits/ },
    { what: 'a color type that is none', file: custom(5, 8, [gray]), message: /color type 5 with 8 bits/ },
    {
      what: 'another interlace',
      file: custom(0, 8, [gray], { interlace: 2 }),
      message: /interlace: expected 0, 0, and 0 or 1, got 0, 0 and 2$/,
    },
    {
      what: 'another filter method',
      file: custom(0, 8, [gray], { filter: 1 }),
      message: /interlace: expected 0, 0, and 0 or 1, got 0, 1 and 0$/,
    },
    {
      what: 'a filter that is none',
      file: custom(0, 8, [chunk('IDAT', deflateSync(Uint8Array.of(5, 1, 2, 3)))]),
      message: /is damaged: a row's filter: expected 0 to 4, got 5$/,
    },
    { what: 'no pixels', file: custom(0, 8, []), message: /has no IDAT chunk/ },
    { what: 'too few pixels', file: custom(0, 8, [pixels(1, 2)]), message: /3 of the 4 bytes of its pixels are there/ },
    {
      what: 'pixels that are no zlib stream',
      file: custom(0, 8, [chunk('IDAT', Uint8Array.of(1, 2, 3, 4))]),
      message: /do not decompress: incorrect header/,
    },
    {
      what: 'a palette after its pixels',
      file: custom(3, 8, [gray, chunk('PLTE', new Uint8Array(9))]),
      message: /no palette before/,
    },
    {
      what: 'a palette of 7 bytes',
      file: custom(3, 8, [chunk('PLTE', new Uint8Array(7)), gray]),
      message: /is damaged: its palette: expected 3 to 768 bytes, three a color, got 7$/,
    },
    {
      what: 'a color that the palette has not',
      file: custom(3, 8, [chunk('PLTE', new Uint8Array(9)), gray]),
      message: /color 3 of a palette of 3/,
    },
    {
      what: 'a chunk that changes what pixels mean',
      file: custom(0, 8, [chunk('CgBI', new Uint8Array(4)), gray]),
      message: /a chunk "CgBI"/,
    },
  ])('refuses $what', async ({ file, message }) => {
    await expect(readPng(write(file))).rejects.toThrow(message);
  });
});
