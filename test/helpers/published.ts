// Networks of published models: the reference directories under test/fixtures, and weights for any other shape.
import { fileURLToPath } from 'node:url';

import { loadTensors } from '../../lib/files/safetensors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { numbersOf } from './numbers.js';

export const fixture = (path: string): string => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));

export const sd35Tensors = (file: string): Promise<Record<string, Tensor>> =>
  loadTensors(fixture(`sd35-tiny/${file}.safetensors`));

/** The largest |found − expected| / max |expected|. */
export async function scaledError(found: Tensor, expected: Tensor | readonly number[]): Promise<number> {
  if (expected instanceof Tensor && String(found.shape) !== String(expected.shape)) {
    throw new Error(`shape ${found.shape}, expected ${expected.shape}`);
  }
  const [actual, wanted] = [await numbersOf(found), expected instanceof Tensor ? await numbersOf(expected) : expected];
  if (actual.length !== wanted.length) throw new Error(`${actual.length} numbers, expected ${wanted.length}`);
  const scale = Math.max(...wanted.map(Math.abs));
  return Math.max(...actual.map((value, index) => Math.abs(value - wanted[index]!))) / scale;
}

/** Numbers that any language computes alike: offset + scale sin(1.7 i + phase). */
export function waves(shape: readonly number[], phase: number, scale: number, offset = 0): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return Tensor.from(
    Float64Array.from({ length: count }, (_, i) => offset + scale * Math.sin(1.7 * i + phase)),
    [...shape],
  );
}

/**
 * Weights of any network, given the shapes by name. The phase is the sum of the name's character codes; norms are
 * around one, matrices and kernels scaled so that activations keep their size.
 */
export function wavyWeights(shapes: Readonly<Record<string, readonly number[]>>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const phase = Array.from(name).reduce((sum, character) => sum + character.charCodeAt(0), 0);
      if (shape.length === 1) return [name, waves(shape, phase, 0.2, /norm\w*\.weight$/.test(name) ? 1 : 0)];
      const fanIn = shape.slice(1).reduce((product, size) => product * size, 1);
      return [name, waves(shape, phase, 1.5 / Math.sqrt(fanIn))];
    }),
  );
}

export const tokenIds = (rows: readonly (readonly number[])[]): Tensor =>
  Tensor.from(BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0]!.length]);
