import { encode } from 'fast-png';

import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';

/** An image in bytes, as a PNG of 8 bits holds it. */
export interface ImageBytes {
  width: number;
  height: number;
  channels: number;
  /** Rows of pixels, [height, width, channels]. */
  data: Uint8Array;
}

/**
 * Makes bytes of each image of [B, channels, H, W]: clamped to [0, 1], times 255, rounded, as a grid of images is. An
 * image with a number in it that is not finite is undefined: its bytes would be made up. All share one memory.
 */
export async function bytesOfEach(images: Tensor): Promise<(ImageBytes | undefined)[]> {
  const { values: means } = await binding().meanIntensity(images, false);
  // One column without a frame: the images' bytes, one after another.
  const { width, channels, data } = await binding().imageGrid(images, 1, 0);
  const height = images.shape[2]!;
  const length = width * height * channels;
  return Array.from(means, (mean, image) =>
    Number.isFinite(mean)
      ? { width, height, channels, data: data.subarray(image * length, (image + 1) * length) }
      : undefined,
  );
}

/** Encodes an image as a PNG of 8 bits. */
export const encodeImage = (image: ImageBytes): Uint8Array => encode({ ...image, depth: 8 });

/** Encodes each image as {@link bytesOfEach} makes bytes of it. */
export const encodeEach = async (images: Tensor): Promise<(Uint8Array | undefined)[]> =>
  (await bytesOfEach(images)).map((image) => image && encodeImage(image));
