import { readFile } from 'node:fs/promises';

import { readPng } from './read.js';
import { shrink } from './shrink.js';
import { encodeImage } from './write.js';

/**
 * A PNG that is small enough for a page: the file as it is where neither side is longer than `limit`, else shrunk.
 * @throws ImageFileError for a file that is no PNG, or of a kind that cannot be read
 */
export async function thumbnail(path: string, limit: number): Promise<Uint8Array> {
  const { width, height, data } = await readPng(path);
  if (Math.max(width, height) <= limit) return readFile(path);
  const pixels = width * height;
  const bytes = new Uint8Array(3 * pixels);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Math.round(255 * data[(at % 3) * pixels + Math.floor(at / 3)]!);
  return encodeImage(shrink({ width, height, channels: 3, data: bytes }, limit));
}
