// What verification and benchmarks measure.

import type { DType, Tensor } from '../tensor.js';

export interface MeasurementBinding {
  /**
   * max |value − reference| and max |reference|, in float64; NaN where a tensor has one. ShapeError for different
   * shapes.
   */
  largestDifference(value: Tensor, reference: Tensor): Promise<{ largest: number; scale: number }>;
  /**
   * From now on the stages of iterations are timed: each waits for the device at its beginning and its end, so that
   * none is charged with what another left to be done.
   */
  timeStages(device: string): Promise<void>;
  /**
   * Seconds in each stage since `timeStages` or the last call: `rollout`, `decoding`, `rewardGradient`, `matching`,
   * `update`.
   */
  stageSeconds(): Promise<Record<string, number>>;
  /** Resolves when the device has done all that it was given. */
  synchronize(device: string): Promise<void>;
  /** The most bytes that tensors took on a CUDA device since this was last called. */
  cudaPeakMemory(device: string): Promise<number>;
  /** The seconds of one product of two square matrices, a mean over so many. */
  matrixProductSeconds(size: number, repeats: number, dtype: DType, device: string): Promise<number>;
}
