import { ShapeError } from '../../errors.js';
import { expected } from '../../schema/validate.js';
import type { Tensor } from '../native/tensor.js';
import { record } from './record.js';

// Dimensions are counted from 0, or from −1 at the end.

/** Gives the same numbers, in row-major order, another shape; one size may be −1 and follows from the others. */
export const reshape = (x: Tensor, shape: readonly number[]): Tensor => record('reshape', x, shape);

/** Orders the dimensions anew: dimension i of the result is dimension `dims[i]` of x. */
export const permute = (x: Tensor, dims: readonly number[]): Tensor => record('permute', x, dims);

/** Exchanges two dimensions. */
export const transpose = (x: Tensor, a: number, b: number): Tensor => record('transpose', x, a, b);

/** Makes one dimension of those from `from` to `to`; default: of all but the first. */
export const flatten = (x: Tensor, from = 1, to = -1): Tensor => record('flatten', x, from, to);

/** Inserts a dimension of size 1 at `dim`. */
export const unsqueeze = (x: Tensor, dim: number): Tensor => record('unsqueeze', x, dim);

/** Removes dimension `dim`, whose size must be 1. */
export const squeeze = (x: Tensor, dim: number): Tensor => record('squeeze', x, dim);

/** Repeats dimensions of size 1 up to a shape, without a copy; −1 leaves a dimension as it is. */
export const expand = (x: Tensor, shape: readonly number[]): Tensor => record('expand', x, shape);

/** Takes the entries from `start` up to and without `end` of a dimension, 0 ≤ start < end ≤ its size. */
export const slice = (x: Tensor, dim: number, start: number, end: number): Tensor =>
  record('slice', x, dim, start, end);

/**
 * Cuts a dimension into `count` equal parts.
 * @throws ShapeError where its size is no multiple of `count`
 */
export function chunk(x: Tensor, count: number, dim: number): Tensor[] {
  const size = x.shape.at(dim);
  if (size === undefined || !Number.isInteger(size / count)) {
    throw new ShapeError(expected('chunk: x', `a multiple of ${count} in dimension ${dim}`, `shape [${x.shape}]`));
  }
  const length = size / count;
  return Array.from({ length: count }, (_, part) => slice(x, dim, part * length, (part + 1) * length));
}

/** Puts tensors one after the other along a dimension; all others have the same sizes. */
export const cat = (tensors: readonly Tensor[], dim: number): Tensor => record('cat', tensors, dim);

/** Puts tensors of one shape side by side along a new dimension. */
export const stack = (tensors: readonly Tensor[], dim: number): Tensor => record('stack', tensors, dim);
