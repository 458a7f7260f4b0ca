// Three small images and their prompts.
import { Tensor } from '../../lib/runtime/native/tensor.js';

/** [3, 1, 4, 4], of numbers between 0 and 1. */
export const images = (): Tensor =>
  Tensor.from(
    Float32Array.from({ length: 3 * 16 }, (_, index) => (index % 7) / 8),
    [3, 1, 4, 4],
  );
export const prompts = ['0', '1', '2'];

/** The mean of the pixels of one image among `data`. */
export const meanOf = (data: readonly number[], image: number) =>
  data.slice(16 * image, 16 * image + 16).reduce((sum, value) => sum + value, 0) / 16;
