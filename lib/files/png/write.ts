import { encode } from 'fast-png';

import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';

/**
 * Encodes each image of [B, channels, H, W] as a PNG of 8 bits: clamped to [0, 1], times 255, rounded, as a grid of
 * images is. An image with a number in it that is not finite is undefined: its bytes would be made up.
 */
export async function encodeEach(images: Tensor): Promise<(Uint8Array | undefined)[]> {
  const { values: means } = await binding().meanIntensity(images, false);
  // One column without a frame: the images' bytes, one after another.
  const { width, channels, data } = await binding().imageGrid(images, 1, 0);
  const height = images.shape[2]!;
  const length = width * height * channels;
  return Array.from(means, (mean, image) =>
    Number.isFinite(mean)
      ? encode({ width, height, channels, depth: 8, data: data.subarray(image * length, (image + 1) * length) })
      : undefined,
  );
}
