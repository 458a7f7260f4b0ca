import { binding } from '../native/index.js';
import type { Tensor } from '../native/tensor.js';

/** A tensor, or a number that stands for a tensor full of it. */
export type Operand = Tensor | number;

/** Two sizes, of height and width; one number stands for both. */
export type Pair = number | readonly [number, number];

export const pair = (value: Pair): readonly number[] => (typeof value === 'number' ? [value, value] : value);

/** Records an operator; what does not fit it is refused natively, in the operator's name. */
export const record = (operator: string, ...operands: readonly unknown[]): Tensor =>
  binding().record(operator, operands);
