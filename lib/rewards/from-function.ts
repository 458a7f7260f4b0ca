import { z } from 'zod';

import { ConfigError } from '../errors.js';
import { binding } from '../runtime/native/index.js';
import {
  checked,
  describe,
  InvalidScore,
  toFloat32,
  valuesFrom,
  type ArrayReward,
  type ScoreOptions,
} from './reward.js';
import { checkOptions } from '../schema/options.js';
import { expected } from '../schema/validate.js';

/** Images as a reward function sees them: `data` is row-major over `shape`, [B, channels, H, W], in [0, 1]; a copy. */
export interface ImageArray {
  /** A copy of the numbers in memory order of [B, channels, H, W], in [0, 1], not clamped. */
  data: Float32Array;
  /** The shape, `[B, channels, H, W]`. */
  shape: readonly number[];
}

/** This is what a function of {@link fromFunction} returns. */
export interface FunctionScore {
  /** The values, one for each image. */
  values: Float32Array | Float64Array | readonly number[];
  /** ∂(Σ values)/∂images: as many numbers as the images' data has. Training needs it where it is differentiable. */
  grad?: Float32Array | Float64Array | readonly number[] | undefined;
}

/** What a function of {@link fromFunction} is, beside its score. */
export interface FunctionOptions {
  /** False for a function that returns values alone. @defaultValue true */
  differentiable?: boolean | undefined;
  /**
   * True for a function whose values depend on all images of the batch; see {@link Reward.wholeBatch}.
   * @defaultValue false
   */
  wholeBatch?: boolean | undefined;
}

/** @throws ConfigError for an unknown key, or a value of another type */
export const checkFunctionOptions = (options: FunctionOptions, source: string): void =>
  checkOptions({ differentiable: z.boolean(), wholeBatch: z.boolean() }, options, source);

/**
 * A reward computed in JavaScript.
 * @param score is given images, their prompts and the signal that ends the run; it may be asynchronous
 */
export function fromFunction(
  name: string,
  score: (
    images: ImageArray,
    prompts: readonly string[],
    options: Pick<ScoreOptions, 'signal'>,
  ) => FunctionScore | Promise<FunctionScore>,
  options: FunctionOptions = {},
): ArrayReward {
  checkFunctionOptions(options, 'fromFunction options');
  if (typeof name !== 'string') throw new ConfigError(expected('fromFunction: name', 'a string', describe(name)));
  if (typeof score !== 'function')
    throw new ConfigError(expected('fromFunction: score', 'a function', describe(score)));
  return {
    name,
    ...(options.differentiable === false && { differentiable: false }),
    ...(options.wholeBatch && { wholeBatch: true }),
    async score(images, prompts, { gradient = false, signal } = {}) {
      // A tensor that shares the images' memory gives a copy of it: what the function does to it stays its own affair.
      using shared = await images.to({ dtype: 'float32' });
      const data = (await shared.data()) as Float32Array;
      const count = data.length;
      const result: Partial<FunctionScore> | undefined | null = await score({ data, shape: images.shape }, prompts, {
        signal,
      });
      const values = valuesFrom(result?.values, prompts.length);
      if (!gradient || !result?.grad) return checked({ values }, images);
      const grad = toFloat32(result.grad, 'grad');
      if (grad.length !== count) {
        throw new InvalidScore(expected('grad', `${count} numbers, one for each of the images'`, grad.length));
      }
      // A function may use one array for all its calls; a tensor would share it.
      const own = grad === result.grad ? grad.slice() : grad;
      const { shape, dtype, device } = images;
      return checked({ values, grad: binding().Tensor.from(own, shape, { dtype, device }) }, images);
    },
  };
}
