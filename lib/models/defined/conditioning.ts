import { ConfigError, DisposedError, ShapeError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import { Tensor } from '../../runtime/native/tensor.js';
import { expected } from '../../schema/validate.js';

/** Stands for no conditioning, where the algorithms ask for at least one tensor: a row a sample, and nothing in it. */
const nothing = (count: number, device: string): Tensor =>
  binding().Tensor.from(new Float32Array(0), [count, 0], { device });

export const isNothing = (conditioning: readonly Tensor[]): boolean =>
  conditioning.length === 1 && conditioning[0]!.shape.length === 2 && conditioning[0]!.shape[1] === 0;

/**
 * Checks what a definition's function gave as conditioning, and brings it to the device.
 * @param where names the function
 * @throws ShapeError for another number of rows than samples, DisposedError for what was disposed of before
 */
export async function checkedConditioning(
  given: readonly Tensor[] | undefined,
  count: number,
  device: string,
  where: string,
): Promise<Tensor[]> {
  if (given === undefined || given.length === 0) return [nothing(count, device)];
  if (!Array.isArray(given)) throw new ConfigError(expected(where, 'an array of Tensors', typeof given));
  given.forEach((tensor: Tensor, index) => {
    const what = `${where}[${index}]`;
    if (!(tensor instanceof Tensor)) throw new ShapeError(expected(what, 'a Tensor', typeof tensor));
    if (tensor.disposed) {
      throw new DisposedError(
        `${what} has been disposed of: what it returns is handed over and freed after use, so return new tensors ` +
          'each time, or `await tensor.to({})`, which shares the memory',
      );
    }
    if (tensor.shape[0] === count) return;
    const rows = `${count} rows, one for each sample, in its first dimension`;
    throw new ShapeError(expected(what, rows, `shape [${tensor.shape.join(', ')}]`));
  });
  return Promise.all(
    given.map(async (tensor) => {
      if (tensor.device === device) return tensor;
      using elsewhere = tensor;
      return await elsewhere.to({ device });
    }),
  );
}
