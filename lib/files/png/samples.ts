import { Readable } from 'node:stream';
import { createInflate } from 'node:zlib';

import { expected } from '../../schema/validate.js';
import type { PngHeader } from './chunks.js';

/** Every so many pixels of an image, from (x, y) on. */
interface Pass {
  x: number;
  y: number;
  stepX: number;
  stepY: number;
}

/** The PNG specification's Adam7. */
const adam7: readonly Pass[] = [
  { x: 0, y: 0, stepX: 8, stepY: 8 },
  { x: 4, y: 0, stepX: 8, stepY: 8 },
  { x: 0, y: 4, stepX: 4, stepY: 8 },
  { x: 2, y: 0, stepX: 4, stepY: 4 },
  { x: 0, y: 2, stepX: 2, stepY: 4 },
  { x: 1, y: 0, stepX: 2, stepY: 2 },
  { x: 0, y: 1, stepX: 1, stepY: 2 },
];
const single: readonly Pass[] = [{ x: 0, y: 0, stepX: 1, stepY: 1 }];

/**
 * Decompresses a PNG's pixels.
 * @returns [height, width, channels], a number a sample, from 0 to 2^depth − 1
 * @throws Error for pixels that do not decompress or are not all there
 */
export async function readSamples(header: PngHeader, pixels: readonly Uint8Array[]): Promise<Uint8Array | Uint16Array> {
  const { width, height, depth, interlaced } = header;
  const { channels } = header.color;
  const sizes = (interlaced ? adam7 : single).map((pass) => {
    const columns = Math.ceil((width - pass.x) / pass.stepX);
    const rows = Math.ceil((height - pass.y) / pass.stepY);
    // A row begins with the byte that names its filter, and ends with a whole byte; a pass without pixels has no rows.
    const rowBytes = Math.ceil((columns * channels * depth) / 8);
    return { ...pass, columns, rows: columns > 0 ? Math.max(rows, 0) : 0, rowBytes };
  });
  const expected = sizes.reduce((sum, { rows, rowBytes }) => sum + rows * (1 + rowBytes), 0);
  const bytes = await inflate(pixels, expected);
  const samples = new (depth === 16 ? Uint16Array : Uint8Array)(width * height * channels);
  let position = 0;
  for (const { x, y, stepX, stepY, columns, rows, rowBytes } of sizes) {
    let above: Uint8Array = new Uint8Array(rowBytes);
    for (let row = 0; row < rows; row++) {
      const line = bytes.subarray(position + 1, position + 1 + rowBytes);
      unfilter(bytes[position]!, line, above, Math.max(1, (channels * depth) / 8));
      const start = ((y + row * stepY) * width + x) * channels;
      for (let column = 0, to = start; column < columns; column++, to += stepX * channels) {
        for (let channel = 0; channel < channels; channel++)
          samples[to + channel] = sampleAt(line, column * channels + channel, depth);
      }
      above = line;
      position += 1 + rowBytes;
    }
  }
  return samples;
}

/** Reads a sample: the first of several in a byte is in its upper bits; of two bytes the upper comes first. */
function sampleAt(line: Uint8Array, index: number, depth: number): number {
  if (depth === 8) return line[index]!;
  if (depth === 16) return (line[2 * index]! << 8) | line[2 * index + 1]!;
  const bit = index * depth;
  return (line[bit >> 3]! >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
}

/** The first bytes of a zlib stream; what comes after them belongs to no pixel. */
async function inflate(parts: readonly Uint8Array[], expected: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(expected);
  let filled = 0;
  try {
    for await (const part of Readable.from(parts).pipe(createInflate()) as AsyncIterable<Buffer>) {
      bytes.set(part.subarray(0, expected - filled), filled);
      filled += part.length;
      if (filled > expected) break;
    }
  } catch (error) {
    throw new Error(`is damaged: its pixels do not decompress: ${(error as Error).message}`, { cause: error });
  }
  if (filled < expected) throw new Error(`is damaged: ${filled} of the ${expected} bytes of its pixels are there`);
  return bytes;
}

/** Undoes a row's filter in place: each byte was stored less a prediction from the bytes left, above and above left. */
function unfilter(filter: number, line: Uint8Array, above: Uint8Array, distance: number): void {
  if (filter > 4) throw new Error(`is damaged: ${expected("a row's filter", '0 to 4', filter)}`);
  if (filter === 0) return;
  for (let i = 0; i < line.length; i++) {
    const left = i < distance ? 0 : line[i - distance]!;
    const up = above[i]!;
    if (filter === 1) line[i]! += left;
    else if (filter === 2) line[i]! += up;
    else if (filter === 3) line[i]! += (left + up) >> 1;
    else line[i]! += paeth(left, up, i < distance ? 0 : above[i - distance]!);
  }
}

/** Whichever of the three is nearest to left + up − corner; of equals the first. */
function paeth(left: number, up: number, corner: number): number {
  const [toLeft, toUp, toCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}
