// A TorchScript reward in closed form, and the images it scores.
import { fileURLToPath } from 'node:url';

import { expect } from 'vitest';

import { EamError } from '../../lib/errors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { temporaryFolder } from './tiny-run.js';
import { forward } from './torchscript.js';

export const folder = temporaryFolder();
// Written by the generate.py beside them.
export const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/torchscript/${name}`, import.meta.url));

export const pixels = Float32Array.from({ length: 3 * 16 }, (_, index) => ((index * 5) % 17) / 16);
export const images = (dtype: 'float32' | 'float64' | 'bfloat16' = 'float32') =>
  Tensor.from(pixels.slice(), [3, 1, 4, 4], { dtype });

export const failure = async (work: Promise<unknown>): Promise<EamError> => {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(EamError);
  expect((error as Error).message).not.toMatch(/Exception raised from|frame #|\.c(c|pp):\d/);
  return error as EamError;
};

// −w mean((x − 0.3)²), whose gradient is −2w (x − 0.3)/16.
export const quadratic = (weight: number, shape = '') =>
  forward(
    'images: Tensor',
    `torch.mul(torch.mean(torch.pow(torch.sub(images, 0.3), 2), [1, 2, 3]${shape}), -${weight})`,
  );
