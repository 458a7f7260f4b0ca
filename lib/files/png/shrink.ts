import type { ImageBytes } from './write.js';

/**
 * Averages squares of pixels, just large enough that neither side becomes longer than `limit`. An image that fits stays
 * as it is.
 */
export function shrink(image: ImageBytes, limit: number): ImageBytes {
  const factor = Math.ceil(Math.max(image.width, image.height) / limit);
  if (factor <= 1) return image;
  const { channels } = image;
  const [width, height] = [Math.ceil(image.width / factor), Math.ceil(image.height / factor)];
  const data = new Uint8Array(width * height * channels);
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++)
      for (let channel = 0; channel < channels; channel++)
        data[(row * width + column) * channels + channel] = meanOf(
          image,
          row * factor,
          column * factor,
          factor,
          channel,
        );
  return { width, height, channels, data };
}

/** The mean of a channel over a square, or over the part of it that the image has. */
function meanOf(
  { width, height, channels, data }: ImageBytes,
  top: number,
  left: number,
  side: number,
  channel: number,
): number {
  const [bottom, right] = [Math.min(top + side, height), Math.min(left + side, width)];
  let sum = 0;
  for (let y = top; y < bottom; y++)
    for (let x = left; x < right; x++) sum += data[(y * width + x) * channels + channel]!;
  return Math.round(sum / ((bottom - top) * (right - left)));
}
