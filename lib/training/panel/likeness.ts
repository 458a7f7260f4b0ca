import type { Picture } from './pixels.js';

/** A side of a thumbnail has at most so many pixels. */
const side = 16;

/** The means of an image's parts, at most 16 × 16 of them, a channel after the other. */
export function thumbnailOf({ data, channels, height, width }: Picture): Float32Array {
  const rows = Math.min(side, height);
  const columns = Math.min(side, width);
  const thumbnail = new Float32Array(channels * rows * columns);
  const bound = (part: number, parts: number, length: number) => Math.floor((part * length) / parts);
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < rows; row++) {
      const [top, bottom] = [bound(row, rows, height), bound(row + 1, rows, height)];
      for (let column = 0; column < columns; column++) {
        const [left, right] = [bound(column, columns, width), bound(column + 1, columns, width)];
        let sum = 0;
        for (let y = top; y < bottom; y++) {
          const line = (channel * height + y) * width;
          for (let x = left; x < right; x++) sum += Math.min(1, Math.max(0, data[line + x]!));
        }
        thumbnail[(channel * rows + row) * columns + column] = sum / ((bottom - top) * (right - left));
      }
    }
  }
  return thumbnail;
}

/** How far each image is from the others. */
export interface Distances {
  /** The mean distance to all others. */
  diversity: number[];
  /** The mean distance to those of the same prompt; left out where no two images share one. */
  promptDiversity?: number[];
}

/**
 * Measures how far each image is from the others: the root mean square difference of their thumbnails, a mean over the
 * others. An image that is not finite has no distance, and is left out of those of the others.
 */
export function distancesOf(thumbnails: readonly Float32Array[], prompts: readonly string[]): Distances {
  const between = thumbnails.map((one) => thumbnails.map((other) => distance(one, other)));
  const meanTo = (image: number, isCounted: (other: number) => boolean): number => {
    const counted = between[image]!.filter(
      (value, other) => other !== image && Number.isFinite(value) && isCounted(other),
    );
    return counted.reduce((sum, value) => sum + value, 0) / counted.length;
  };
  const shared = new Set(prompts).size < prompts.length;
  return {
    diversity: thumbnails.map((_, image) => meanTo(image, () => true)),
    ...(shared && {
      promptDiversity: thumbnails.map((_, image) => meanTo(image, (other) => prompts[other] === prompts[image])),
    }),
  };
}

function distance(one: Float32Array, other: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < one.length; at++) sum += (one[at]! - other[at]!) ** 2;
  return Math.sqrt(sum / one.length);
}
