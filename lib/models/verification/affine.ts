import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';

/** scale · x + offset: other conventions than ours. */
export async function affine(x: Tensor, { scale, offset = 0 }: { scale: number; offset?: number }): Promise<Tensor> {
  if (offset === 0) return binding().weightedSum([x], [scale]);
  const ones = new Float32Array(x.shape.reduce((product, length) => product * length, 1)).fill(1);
  return binding().weightedSum(
    [x, await binding().Tensor.from(ones, x.shape).to({ dtype: x.dtype, device: x.device })],
    [scale, offset],
  );
}
