import { existsSync, statfsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** The bytes that a folder's disk has free; the folder need not be there yet. */
export function freeBytes(folder: string): number {
  let place = resolve(folder);
  while (!existsSync(place)) place = dirname(place);
  const { bavail, bsize } = statfsSync(place);
  return bavail * bsize;
}
