import { existsSync, statfsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** The bytes that a folder's disk has free; the folder need not be there yet. */
export function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(nearest(folder));
  return bavail * bsize;
}

/** The number by which the system knows a folder's disk; the folder need not be there yet. */
export const diskOf = (folder: string): number => statSync(nearest(folder)).dev;

/** The folder, or the nearest one around it that is there. */
function nearest(folder: string): string {
  let place = resolve(folder);
  while (!existsSync(place)) place = dirname(place);
  return place;
}
