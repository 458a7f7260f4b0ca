import type { Tensor } from '../native/tensor.js';
import { record } from './record.js';

/** Over which dimensions an operator reduces; default: over all, to a tensor without dimensions. */
export interface Reduction {
  /** The dimensions, counted from 0, or from −1 at the end. */
  dims?: readonly number[] | undefined;
  /** Whether the dimensions stay, with size 1. @defaultValue false */
  keep?: boolean | undefined;
}

const reduce = (operator: string, x: Tensor, { dims, keep = false }: Reduction): Tensor =>
  record(operator, x, dims, keep);

/** Adds the elements up. */
export const sum = (x: Tensor, reduction: Reduction = {}): Tensor => reduce('sum', x, reduction);

/** Takes the mean of the elements. */
export const mean = (x: Tensor, reduction: Reduction = {}): Tensor => reduce('mean', x, reduction);

/** Takes the variance of the elements about their mean, divided by their number. */
export const variance = (x: Tensor, reduction: Reduction = {}): Tensor => reduce('variance', x, reduction);

/** Takes the largest element; where several are, each gets an equal part of the gradient. */
export const max = (x: Tensor, reduction: Reduction = {}): Tensor => reduce('max', x, reduction);

/** Takes the smallest element; where several are, each gets an equal part of the gradient. */
export const min = (x: Tensor, reduction: Reduction = {}): Tensor => reduce('min', x, reduction);

/** Computes exp(x) divided by its sum over a dimension. */
export const softmax = (x: Tensor, dim: number): Tensor => record('softmax', x, dim);

/** Computes the logarithm of {@link softmax}. */
export const logSoftmax = (x: Tensor, dim: number): Tensor => record('logSoftmax', x, dim);
