import { ShapeError } from '../errors.js';
import { binding } from '../native/index.js';
import type { Reward } from './reward.js';

/** Images as a reward function sees them: `data` is row-major over `shape`, [B, channels, H, W], in [0, 1]; a copy. */
export interface ImageArray {
  data: Float32Array;
  shape: readonly number[];
}

export interface FunctionScore {
  /** One an image. */
  values: ArrayLike<number>;
  /** ∂(Σ values)/∂images, as long as the images' data. Training needs it. */
  grad?: Float32Array | Float64Array | undefined;
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
      // A tensor that shares the images' memory gives a copy of it: what the function does to it stays its own affair.
      using shared = await images.to({ dtype: 'float32' });
      const data = (await shared.data()) as Float32Array;
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
