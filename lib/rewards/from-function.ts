import { ShapeError } from '../errors.js';
import { binding } from '../native/index.js';
import type { TypedArray } from '../tensor.js';
import type { Reward } from './reward.js';

/** Images as a reward function sees them: `data` is row-major over `shape`, [B, channels, H, W], in [0, 1]. */
export interface ImageArray {
  data: TypedArray;
  shape: readonly number[];
}

export interface FunctionScore {
  /** One an image. */
  values: ArrayLike<number>;
  /** ∂(Σ values)/∂images, as long as the images' data. Training needs it. */
  grad?: Float32Array | Float64Array;
}

/**
 * A reward computed in JavaScript.
 * @param score is given images and their prompts; it may be asynchronous
 */
export function fromFunction(
  name: string,
  score: (images: ImageArray, prompts: readonly string[]) => FunctionScore | Promise<FunctionScore>,
): Reward {
  return {
    name,
    async score(images, prompts, { gradient = false } = {}) {
      const data = await images.data();
      const result = await score({ data, shape: images.shape }, prompts);
      const values = Float32Array.from(result.values);
      if (!gradient || !result.grad) return { values };
      if (result.grad.length !== data.length) {
        throw new ShapeError(`grad has ${result.grad.length} numbers, expected ${data.length}, one for each of the images' numbers`);
      }
      return { values, grad: binding().Tensor.from(result.grad, images.shape, { dtype: images.dtype, device: images.device }) };
    },
  };
}
