import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { encode, type BitDepth } from 'fast-png';
import { describe, expect, it } from 'vitest';

import { ImageFileError, readPng } from '../../lib/files/png.js';
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
      message: /is damaged: Error while decompressing the data: invalid \w+/,
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
    await expect(readPng(write(huge))).rejects.toThrow(/has 2147483647×8 pixels, expected 1 to/);
    await expect(readPng(join(folder, 'nowhere.png'))).rejects.toThrow(/nowhere.png: cannot be read/);
  });
});
