import { readFile } from 'node:fs/promises';

import { EamError } from '../../errors.js';
import { readChunks, type PngChunks } from './chunks.js';
import { readSamples } from './samples.js';

/** An image file that cannot be scored; the message names it and says why. */
export class ImageFileError extends EamError {
  /** What is wrong, without the file's name. */
  readonly problem: string;
  constructor(path: string, problem: string, options?: ErrorOptions) {
    super('ERR_EAM_IMAGE', `${path}: ${problem}`, options);
    this.problem = problem;
  }
}

/** An image in red, green and blue. */
export interface Picture {
  width: number;
  height: number;
  /** [3, height, width] in [0, 1]. */
  data: Float32Array;
}

/**
 * Reads a PNG as the reference scripts do, by way of Pillow's `convert('RGB')`: gray becomes three equal channels.
 * @param bytes sixteen bits are made eight as Pillow makes them: of colors, and of gray with an alpha channel, the
 * upper eight stay; gray alone is cut off at 255
 * @throws ImageFileError for a file that is missing, no PNG, cut short, damaged, too large or partly transparent
 */
export async function readPng(path: string, { bytes = false } = {}): Promise<Picture> {
  let file: Buffer;
  try {
    file = await readFile(path);
  } catch (error) {
    throw new ImageFileError(path, `cannot be read: ${(error as Error).message}`, { cause: error });
  }
  try {
    const chunks = readChunks(file);
    return toPicture(chunks, await readSamples(chunks.header, chunks.pixels), bytes);
  } catch (error) {
    throw new ImageFileError(path, (error as Error).message, { cause: error });
  }
}

function toPicture(chunks: PngChunks, samples: Uint8Array | Uint16Array, bytes: boolean): Picture {
  const { width, height, depth, color } = chunks.header;
  const { palette } = chunks;
  const { channels } = color;
  const pixels = width * height;
  refuseTransparency(chunks, samples);
  const data = new Float32Array(3 * pixels);
  if (palette) {
    const colors = palette.length / 3;
    for (let pixel = 0; pixel < pixels; pixel++) {
      const index = samples[pixel]!;
      if (index >= colors) throw new Error(`is damaged: a pixel has color ${index} of a palette of ${colors}`);
      for (let part = 0; part < 3; part++) data[part * pixels + pixel] = palette[3 * index + part]! / 255;
    }
    return { width, height, data };
  }
  const limit = 2 ** depth - 1;
  const number = bytes && depth === 16 ? asByte(channels) : (sample: number) => sample / limit;
  for (let part = 0; part < 3; part++) {
    const channel = channels < 3 ? 0 : part;
    for (let pixel = 0; pixel < pixels; pixel++)
      data[part * pixels + pixel] = number(samples[pixel * channels + channel]!);
  }
  return { width, height, data };
}

const asByte = (channels: number) =>
  channels === 1 ? (sample: number) => Math.min(sample, 255) / 255 : (sample: number) => (sample >> 8) / 255;

/** A transparency that no pixel has is none. */
function refuseTransparency(
  { header: { depth, color }, palette, transparency }: PngChunks,
  samples: Uint8Array | Uint16Array,
): void {
  const { channels } = color;
  const limit = 2 ** depth - 1;
  let isTransparent: (at: number) => boolean;
  if (channels % 2 === 0) {
    isTransparent = (at) => samples[at + channels - 1] !== limit;
  } else if (!transparency) {
    return;
  } else if (palette) {
    isTransparent = (at) => (transparency[samples[at]!] ?? 255) !== 255;
  } else {
    // A channel has two bytes here, of which the lower bits count, as many as a sample has.
    const view = new DataView(transparency.buffer, transparency.byteOffset);
    const hidden = Array.from({ length: channels }, (_, channel) => view.getUint16(2 * channel) & limit);
    isTransparent = (at) => hidden.every((sample, channel) => samples[at + channel] === sample);
  }
  for (let at = 0; at < samples.length; at += channels) {
    if (!isTransparent(at)) continue;
    throw new Error(
      'is partly transparent; what shows through is not known: save it without an alpha channel, on a background',
    );
  }
}
