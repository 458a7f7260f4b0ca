// What the lists of layers of published single files are written with.
import type { SingleFileLayer } from './single-file.js';

/** A layer of which the network has one or several, one below the other. */
export const layer = (single: string, ...own: string[]): SingleFileLayer => ({ single, own });

/** A modulation whose shift and scale stand there the other way round. */
export const swapped = (single: string, own: string): SingleFileLayer => ({ single, own: [own], swapped: true });

/** A tensor that is no weight or bias of a layer there, by its whole name. */
export const tensor = (single: string, own: string): SingleFileLayer => ({ single, own: [own], tensors: [''] });

/**
 * How many of something there are, of which the pattern finds the numbers from 0: three digits at most, since a file
 * may name any number.
 */
export const countOf = (pattern: RegExp, names: readonly string[]): number =>
  names.reduce((count, name) => Math.max(count, Number(pattern.exec(name)?.[1] ?? -1) + 1), 0);

/** What a list holds of each of so many numbers from 0. */
export const eachOf = (count: number, of: (index: number) => SingleFileLayer[]): SingleFileLayer[] =>
  Array.from({ length: count }, (_, index) => of(index)).flat();
