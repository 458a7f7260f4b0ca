import { ConfigError } from '../errors.js';
import { expected } from '../schema/validate.js';
import { binding } from './native/index.js';
import type { Tensor } from './native/tensor.js';

/** A function that is written with the operators of `ops`; it is not asynchronous. */
export type TensorFunction = (...inputs: Tensor[]) => Tensor;

/**
 * Refuses what no recorded function may return.
 * @param where names what returned it
 * @throws ConfigError for a promise, or nothing
 */
export function checkReturned(result: unknown, where: string): Tensor {
  if (typeof (result as Promise<unknown> | undefined)?.then === 'function') {
    (result as Promise<unknown>).then(undefined, () => {}); // its own failure would be another one, which nobody sees
    throw new ConfigError(
      `${expected(where, 'a Tensor', 'a promise')}: the function is recorded, and must return at once; leave out ` +
        'async and await, and do before it what takes time',
    );
  }
  if (result === undefined) throw new ConfigError(expected(where, 'a Tensor', 'undefined; return the result'));
  return result as Tensor;
}

function run(where: string, f: TensorFunction, inputs: readonly Tensor[], gradient: boolean, upstream?: Tensor) {
  if (typeof f !== 'function') throw new ConfigError(expected(`${where}: f`, 'a function', typeof f));
  return binding().computeRecorded(
    (values) => checkReturned(f(...values), `${where}: what f returned`),
    inputs,
    gradient,
    upstream,
  );
}

/**
 * Computes a function of tensors natively.
 *
 *     const length = await compute((x) => ops.sqrt(ops.sum(ops.square(x))), [x]);
 *
 * @param inputs what `f` is called with, all on one device
 * @throws ShapeError, ConfigError for operators that do not fit; what `f` throws
 */
export async function compute(f: TensorFunction, inputs: readonly Tensor[]): Promise<Tensor> {
  return (await run('compute', f, inputs, false)).value;
}

/**
 * Computes a function of tensors, and the gradients of Σ upstream · value with respect to each input.
 * @param upstream has the value's shape; default: ones
 * @throws ShapeError, ConfigError for operators that do not fit; what `f` throws
 */
export async function gradients(
  f: TensorFunction,
  inputs: readonly Tensor[],
  upstream?: Tensor,
): Promise<{
  /** What `f` returned. */
  value: Tensor;
  /** One for each input, of its shape; zeros where the value does not depend on it. */
  gradients: Tensor[];
}> {
  return run('gradients', f, inputs, true, upstream);
}
