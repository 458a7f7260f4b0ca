// What the kernels take beside tensors and plain numbers.

import type { Tensor } from './tensor.js';

/** One number a sample. */
export type PerSample = Float32Array | Float64Array | readonly number[];

/**
 * ε ~ N(0, I): a tensor of the sample's shape, or a Philox4x32-10 generator that the kernel evaluates on the fly and
 * that gives the same numbers on every device and for any number of threads. One `stream` numbers the elements of the
 * whole tensor; several, one a sample, number each sample's own.
 */
export type Noise =
  | Tensor
  | {
      /** Philox's key, 0 to 2⁶⁴ − 1. */
      seed: bigint;
      /** The upper half of Philox's counter, 0 to 2⁶⁴ − 1: one for the tensor, or one a sample. */
      stream: bigint | readonly bigint[] | BigUint64Array;
    };
