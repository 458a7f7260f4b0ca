// Numbers in and out of tensors, and what "close" means.
import { expect } from 'vitest';

import { type DType, Tensor } from '../../lib/runtime/native/tensor.js';

export type Rows = readonly (readonly number[])[];

/** A float64 array as a tensor of `dtype`, rounded by LibTorch's own conversion. */
export async function tensorOf(values: readonly number[] | Rows, dtype: DType = 'float64'): Promise<Tensor> {
  const rows = (Array.isArray(values[0]) ? values : [values]) as Rows;
  const shape = Array.isArray(values[0]) ? [rows.length, rows[0]!.length] : [values.length];
  return Tensor.from(Float64Array.from(rows.flat()), shape).to({ dtype });
}

/** A tensor's numbers as plain ones, whatever its dtype. */
export async function numbersOf(tensor: Tensor): Promise<number[]> {
  return Array.from((await (await tensor.to({ dtype: 'float64' })).data()) as Float64Array);
}

/** What storing in `dtype` makes of the numbers. */
export async function rounded(values: readonly number[] | Rows, dtype: DType): Promise<Tensor> {
  return (await tensorOf(values, dtype)).to({ dtype: 'float64' });
}

/** Half the distance between neighbouring numbers of the dtype around 1. */
export const unitRoundoff = { float16: 2 ** -11, bfloat16: 2 ** -8 } as const;

/** |found − expected| ≤ tolerance · max |expected|. */
export function expectClose(found: readonly number[], expected: readonly number[], tolerance: number, what = ''): void {
  expect(found.length, what).toBe(expected.length);
  const scale = Math.max(...expected.map(Math.abs));
  const worst = Math.max(...found.map((value, index) => Math.abs(value - expected[index]!)));
  // NaN compares as not close.
  expect(worst <= tolerance * scale, `${what}: off by ${worst}, allowed ${tolerance * scale}`).toBe(true);
}

/** Each number differs by no more than one rounding to `dtype` (and what float32 arithmetic adds before it). */
export function expectRounded(
  found: readonly number[],
  exact: readonly number[],
  dtype: 'float16' | 'bfloat16',
  what = '',
): void {
  expect(found.length, what).toBe(exact.length);
  const arithmetic = 1e-6 * Math.max(...exact.map(Math.abs));
  const smallest = dtype === 'float16' ? 2 ** -25 : 0; // subnormal numbers round to a fixed grid
  for (const [index, value] of exact.entries()) {
    const allowed = Math.max(unitRoundoff[dtype] * Math.abs(value), smallest) + arithmetic;
    const error = Math.abs(found[index]! - value);
    expect(error <= allowed, `${what}[${index}]: ${found[index]} is off ${value} by ${error}, allowed ${allowed}`).toBe(
      true,
    );
  }
}
