import { crc32 } from 'node:zlib';

import { expected } from '../../schema/validate.js';
import { pointerProblem } from '../../schema/text.js';

/** What a PNG's first chunk says of its pixels. */
export interface PngHeader {
  width: number;
  height: number;
  /** Bits a sample, or a palette's index: 1, 2, 4, 8 or 16. */
  depth: number;
  color: ColorType;
  interlaced: boolean;
}

/** How many samples a pixel has, and in how many bits. */
export interface ColorType {
  channels: 1 | 2 | 3 | 4;
  depths: readonly number[];
  palette: boolean;
}

/** What a PNG's pixels are made of. */
export interface PngChunks {
  header: PngHeader;
  /** Red, green and blue of each color. */
  palette: Uint8Array | undefined;
  /** The alpha of a palette's first colors; else the one color that is transparent, 16 bits a channel. */
  transparency: Uint8Array | undefined;
  /** Together one zlib stream. */
  pixels: Uint8Array[];
}

const colorTypes: Readonly<Record<number, ColorType>> = {
  0: { channels: 1, depths: [1, 2, 4, 8, 16], palette: false },
  2: { channels: 3, depths: [8, 16], palette: false },
  3: { channels: 1, depths: [1, 2, 4, 8], palette: true },
  4: { channels: 2, depths: [8, 16], palette: false },
  6: { channels: 4, depths: [8, 16], palette: false },
};

const signature = Buffer.from('89504e470d0a1a0a', 'hex');
const headerLength = 13;
/** A chunk's length, its name and its checksum. */
const around = 12;
/** As many as Pillow opens without a complaint about decompression bombs. */
const maxPixels = 89_478_485;

/**
 * Finds what the pixels need among a PNG's chunks. Others are not looked at, damaged or not: text, color profiles,
 * palettes that are only suggested, and a transparency of the wrong length or place, which libpng leaves aside as well.
 * @throws Error for what is no PNG, is cut short, is damaged or too large; the message goes on after the file's name
 */
export function readChunks(file: Buffer): PngChunks {
  if (!file.subarray(0, signature.length).equals(signature))
    throw new Error(pointerProblem(file) ?? `is no PNG: ${file.length === 0 ? 'it is empty' : 'it starts otherwise'}`);
  const found: PngChunks = { header: readHeader(file), palette: undefined, transparency: undefined, pixels: [] };
  for (const chunk of chunksOf(file)) take(chunk, found);
  if (found.pixels.length === 0) throw new Error('is damaged: it has no IDAT chunk');
  return found;
}

interface Chunk {
  name: string;
  data: Buffer;
  whole: boolean;
}

/** The chunks after the first and before IEND. */
function* chunksOf(file: Buffer): Generator<Chunk> {
  for (let position = signature.length + around + headerLength; ; ) {
    const end = position + around + (position + around > file.length ? 0 : file.readUInt32BE(position));
    if (end > file.length) {
      throw new Error(`is cut short: it has ${file.length} bytes, and what it announces ends at byte ${end} or later`);
    }
    const chunk = chunkAt(file, position, end);
    if (chunk.name === 'IEND') return;
    yield chunk;
    position = end;
  }
}

function chunkAt(file: Buffer, position: number, end: number): Chunk {
  return {
    name: file.toString('latin1', position + 4, position + 8),
    data: file.subarray(position + 8, end - 4),
    whole: crc32(file.subarray(position + 4, end - 4)) === file.readUInt32BE(end - 4),
  };
}

function readHeader(file: Buffer): PngHeader {
  const end = signature.length + around + headerLength;
  if (file.length < end) throw new Error(`is a PNG of ${file.length} bytes: cut short`);
  const { name, data, whole } = chunkAt(file, signature.length, end);
  if (name !== 'IHDR' || file.readUInt32BE(signature.length) !== headerLength)
    throw new Error(`is damaged: ${expected('its first chunk', 'IHDR of 13 bytes', JSON.stringify(name))}`);
  // Before the checksum: a file that was made by hand gets the more telling message.
  const [width, height] = [data.readUInt32BE(0), data.readUInt32BE(4)];
  if (width === 0 || height === 0 || width * height > maxPixels)
    throw new Error(`cannot be read: ${expected('its pixels', `1 to ${maxPixels} in all`, `${width}×${height}`)}`);
  if (!whole) throw damaged('IHDR');
  const [depth, type, compression, filter, interlace] = data.subarray(8) as unknown as [
    number,
    number,
    number,
    number,
    number,
  ];
  const color = colorTypes[type];
  if (!color?.depths.includes(depth))
    throw new Error(`is damaged: its header says color type ${type} with ${depth} bits, which no PNG has`);
  if (compression !== 0 || filter !== 0 || interlace > 1) {
    const found = `${compression}, ${filter} and ${interlace}`;
    throw new Error(
      `is damaged: ${expected("its header's compression, filter and interlace", '0, 0, and 0 or 1', found)}`,
    );
  }
  return { width, height, depth, color, interlaced: interlace === 1 };
}

const damaged = (name: string): Error => new Error(`is damaged: the checksum of its ${name} chunk is another`);

function take({ name, data, whole }: Chunk, found: PngChunks): void {
  const { color, depth } = found.header;
  if (name === 'IDAT') {
    if (!whole) throw damaged(name);
    if (color.palette && !found.palette) throw new Error('is damaged: it has no palette before its pixels');
    found.pixels.push(data);
  } else if (name === 'PLTE') {
    if (!color.palette || found.palette) return;
    if (!whole) throw damaged(name);
    const colors = data.length / 3;
    if (!Number.isInteger(colors) || colors === 0 || colors > 256)
      throw new Error(`is damaged: ${expected('its palette', '3 to 768 bytes, three a color', data.length)}`);
    found.palette = data.subarray(0, 3 * 2 ** depth);
  } else if (name === 'tRNS') {
    if (whole && found.pixels.length === 0 && fits(data, found)) found.transparency ??= data;
  } else if (isCritical(name)) {
    throw new Error(`has a chunk ${JSON.stringify(name)}, which changes what its pixels mean and is not known here`);
  }
}

function fits({ length }: Buffer, { header: { color }, palette }: PngChunks): boolean {
  if (color.palette) return palette !== undefined && length > 0 && length <= palette.length / 3;
  // A pixel with an alpha channel needs no other transparency.
  return color.channels % 2 === 1 && length === 2 * color.channels;
}

/** A capital letter first: who does not know the chunk cannot show the image. */
const isCritical = (name: string): boolean => (name.charCodeAt(0) & 0x20) === 0;
