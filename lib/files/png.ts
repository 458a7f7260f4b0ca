import { readFile } from 'node:fs/promises';

import { convertIndexedToRgb, decode, hasPngSignature, type DecodedPng } from 'fast-png';

import { EamError } from '../errors.js';

/** An image file that cannot be scored; the message names it and says why. */
export class ImageFileError extends EamError {
  constructor(path: string, problem: string, options?: ErrorOptions) {
    super('ERR_EAM_IMAGE', `${path}: ${problem}`, options);
  }
}

/** An image in red, green and blue. */
export interface Picture {
  width: number;
  height: number;
  /** [3, height, width] in [0, 1]. */
  data: Float32Array;
}

/** How files of other formats are called. */
export const otherImages: ReadonlySet<string> = new Set(
  'jpg jpeg jpe jfif webp gif bmp tif tiff avif heic heif jxl jp2 svg ppm tga ico exr pdf'
    .split(' ')
    .map((each) => `.${each}`),
);

/** As many as Pillow opens without a complaint about decompression bombs. */
const maxPixels = 89_478_485;

/**
 * Reads a PNG as the reference scripts do, by way of `convert('RGB')`: gray becomes three equal channels.
 * @param bytes sixteen bits are cut to eight
 * @throws ImageFileError for a file that is missing, no PNG, cut short, damaged, too large or partly transparent
 */
export async function readPng(path: string, { bytes = false } = {}): Promise<Picture> {
  let file: Uint8Array;
  try {
    file = await readFile(path);
  } catch (error) {
    throw new ImageFileError(path, `cannot be read: ${(error as Error).message}`, { cause: error });
  }
  return toPicture(decodeOrRefuse(file, path), bytes, path);
}

function decodeOrRefuse(file: Uint8Array, path: string): DecodedPng {
  if (!hasPngSignature(file))
    throw new ImageFileError(path, `is no PNG: ${file.length === 0 ? 'it is empty' : 'it starts otherwise'}`);
  // The header comes first. What it promises is checked before memory is taken for it.
  const header = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 33) throw new ImageFileError(path, `is a PNG of ${file.length} bytes: cut short`);
  const [width, height] = [header.getUint32(16), header.getUint32(20)];
  if (width === 0 || height === 0 || width * height > maxPixels) {
    throw new ImageFileError(path, `has ${width}×${height} pixels, expected 1 to ${maxPixels} in all`);
  }
  const end = announcedEnd(header);
  if (end > file.length)
    throw new ImageFileError(
      path,
      `is cut short: it has ${file.length} bytes, and what it announces ends at byte ${end} or later`,
    );
  try {
    const image = decode(file, { checkCrc: true });
    const expected = Math.ceil((width * image.channels * image.depth) / (image.depth === 16 ? 16 : 8)) * height;
    if (image.data.length !== expected) throw new Error(`${image.data.length} of its ${expected} numbers are there`);
    return image;
  } catch (error) {
    throw new ImageFileError(path, `is damaged: ${reasonOf(error as Error)}`, { cause: error });
  }
}

/** Where the last chunk ends, or the one that goes past the file's end. */
function announcedEnd(file: DataView): number {
  for (let position = 8; ; ) {
    // Its length and its name, the content, a checksum.
    if (position + 12 > file.byteLength) return position + 12;
    const end = position + 12 + file.getUint32(position);
    if (end > file.byteLength || file.getUint32(position + 4) === lastChunk) return end;
    position = end;
  }
}

/** IEND */
const lastChunk = 0x49454e44;

/** The decoder's own message of pixels that do not decompress ends where the cause should stand. */
function reasonOf({ message, cause }: Error): string {
  return cause instanceof Error ? `${message.replace(/:$/, '')}: ${cause.message}` : message;
}

function toPicture(image: DecodedPng, bytes: boolean, path: string): Picture {
  const { width, height } = image;
  if (image.transparency) throw new ImageFileError(path, transparent);
  const { numbers, channels, limit } = unpack(image, path);
  const pixels = width * height;
  const alpha = channels % 2 === 0 ? channels - 1 : undefined;
  if (alpha !== undefined) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      if (numbers[pixel * channels + alpha] !== limit) throw new ImageFileError(path, transparent);
    }
  }
  const data = new Float32Array(3 * pixels);
  for (let color = 0; color < 3; color++) {
    const channel = channels < 3 ? 0 : color;
    for (let pixel = 0; pixel < pixels; pixel++) {
      const number = numbers[pixel * channels + channel]!;
      data[color * pixels + pixel] = bytes && limit === 65535 ? (number >> 8) / 255 : number / limit;
    }
  }
  return { width, height, data };
}

const transparent =
  'is partly transparent; what shows through is not known: save it without an alpha channel, on a background';

/** Palettes and fewer than eight bits as one number a channel. */
function unpack(
  image: DecodedPng,
  path: string,
): { numbers: Uint8Array | Uint8ClampedArray | Uint16Array; channels: number; limit: number } {
  const { depth, channels } = image;
  try {
    if (image.palette) return { numbers: convertIndexedToRgb(image), channels: image.palette[0]!.length, limit: 255 };
    if (depth < 8) {
      const levels = 2 ** depth;
      const palette = Array.from({ length: levels }, (_, level) => [(255 * level) / (levels - 1)]);
      return { numbers: convertIndexedToRgb({ ...image, palette }), channels: 1, limit: 255 };
    }
  } catch (error) {
    throw new ImageFileError(path, `is damaged: ${(error as Error).message}`, { cause: error });
  }
  return { numbers: image.data, channels, limit: depth === 16 ? 65535 : 255 };
}
