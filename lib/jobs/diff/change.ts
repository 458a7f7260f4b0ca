import type { ImageBytes } from '../../files/png/write.js';

/** A heat map shows one of these. */
export type DiffMeasure = 'luminance' | 'color';

/** This is how an image changed. Its colours are those that the PNG has, in sRGB, with each channel from 0 to 1. */
export interface ImageChange {
  /** The root mean square over pixels and channels of after less before, in [0, 1]. */
  change: number;
  /** The mean over pixels of the luminance after less that before, in [−1, 1]: above 0 it became brighter. */
  luminance: number;
  /** The share of pixels whose colour distance is above 0.1, in [0, 1]. */
  changed: number;
}

/** A pixel that changed by less counts as unchanged, since rounding and slight shifts change it so much. */
const threshold = 0.1;

/** Compares two images of one size. */
export function imageChange(before: ImageBytes, after: ImageBytes): ImageChange {
  let squares = 0;
  let luminance = 0;
  let changed = 0;
  const pixels = before.width * before.height;
  for (let pixel = 0; pixel < pixels; pixel++) {
    const distance = distanceAt(before, after, pixel);
    squares += distance ** 2;
    luminance += luminanceAt(before, after, pixel);
    if (distance > threshold) changed += 1;
  }
  return { change: Math.sqrt(squares / pixels), luminance: luminance / pixels, changed: changed / pixels };
}

/** The number that a heat map of this measure shows at one pixel: in [−1, 1] of luminance, in [0, 1] of color. */
const measureAt: Readonly<Record<DiffMeasure, (before: ImageBytes, after: ImageBytes, pixel: number) => number>> = {
  luminance: luminanceAt,
  color: distanceAt,
};

/** The change of the luminance 0.2126 R + 0.7152 G + 0.0722 B (ITU-R BT.709) of the stored, non-linear colours. */
function luminanceAt(before: ImageBytes, after: ImageBytes, pixel: number): number {
  const difference = (channel: number) => differenceAt(before, after, pixel, channel);
  if (before.channels < 3) return difference(0);
  return 0.2126 * difference(0) + 0.7152 * difference(1) + 0.0722 * difference(2);
}

/** The root mean square over the channels of the difference: 1 from black to white. */
function distanceAt(before: ImageBytes, after: ImageBytes, pixel: number): number {
  let squares = 0;
  for (let channel = 0; channel < before.channels; channel++)
    squares += differenceAt(before, after, pixel, channel) ** 2;
  return Math.sqrt(squares / before.channels);
}

function differenceAt(before: ImageBytes, after: ImageBytes, pixel: number, channel: number): number {
  const at = pixel * before.channels + channel;
  return (after.data[at]! - before.data[at]!) / 255;
}

/**
 * The change at which the colours of heat maps are full: 99 % of the pixels of all pairs changed by less. It is at
 * least one step of a byte.
 * @param pairs of images that both are there
 */
export function scaleOf(pairs: Iterable<{ before: ImageBytes; after: ImageBytes }>, measure: DiffMeasure): number {
  // A bin for each of the 255 steps of a byte.
  const counts = new Uint32Array(256);
  let all = 0;
  for (const { before, after } of pairs) {
    for (let pixel = 0; pixel < before.width * before.height; pixel++) {
      counts[Math.ceil(255 * Math.abs(measureAt[measure](before, after, pixel)) - 1e-9)]! += 1;
      all += 1;
    }
  }
  let below = 0;
  for (const [step, count] of counts.entries()) {
    below += count;
    if (below >= 0.99 * all) return Math.max(1, step) / 255;
  }
  return 1;
}

/** The colours at the ends of a heat map, which the colour-blind can tell apart, too. Black stands for no change. */
export const heatColours = { up: [255, 150, 40], down: [60, 150, 255] } as const;

/** A heat map of the change: its colours are full where it is `scale` or more. */
export function heatMap(before: ImageBytes, after: ImageBytes, measure: DiffMeasure, scale: number): ImageBytes {
  const { width, height } = before;
  const data = new Uint8Array(3 * width * height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const value = measureAt[measure](before, after, pixel) / scale;
    const colour = value < 0 ? heatColours.down : heatColours.up;
    const strength = Math.min(1, Math.abs(value));
    for (const [channel, full] of colour.entries()) data[3 * pixel + channel] = Math.round(strength * full);
  }
  return { width, height, channels: 3, data };
}
