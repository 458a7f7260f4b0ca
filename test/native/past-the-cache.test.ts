// Calls that touch more memory than the caches hold write past them: in pieces, by other instructions.
import { afterAll, describe, expect, it } from 'vitest';

import { matchingLossSync, philoxNormalSync, renoiseSync, terminalGradientSync } from '../../lib/runtime/kernels.js';
import { type DType, Tensor, type TypedArray } from '../../lib/runtime/native/tensor.js';

// Odd, so that the second sample begins between two lines of memory; four tensors of float32 are 134 MB.
const [samples, elements, slice] = [2, 2 ** 22 + 37, 2 ** 18];
const t = [0.3, 0.7];

const bytes = ({ buffer, byteOffset, byteLength }: TypedArray) => Buffer.from(buffer, byteOffset, byteLength);
const inFloat64 = async (tensor: Tensor) => (await (await tensor.to({ dtype: 'float64' })).data()) as Float64Array;

describe.each<{ dtype: DType; tolerance: number }>([
  { dtype: 'float32', tolerance: 2e-7 },
  { dtype: 'float64', tolerance: 1e-15 },
  { dtype: 'bfloat16', tolerance: 2 ** -7 },
])('kernels on $dtype tensors larger than the caches', ({ dtype, tolerance }) => {
  // From arrays, which parts can share.
  const [x, velocity, x1, G] = [1n, 2n, 3n, 4n].map((stream) => {
    const array = philoxNormalSync([samples, elements], { seed: 5n, stream, dtype }).dataSync();
    return Tensor.from(array, [samples, elements], { dtype });
  }) as [Tensor, Tensor, Tensor, Tensor];
  afterAll(() => {
    for (const tensor of [x, velocity, x1, G]) tensor.dispose();
  });

  /** [1, …]: elements of one sample, in calls that the caches hold. */
  const slices = [0, 1].flatMap((sample) =>
    Array.from({ length: Math.ceil(elements / slice) }, (_, i) => {
      const [begin, end] = [i * slice, Math.min((i + 1) * slice, elements)].map(
        (place) => sample * elements + place,
      ) as [number, number];
      const cut = (tensor: Tensor) => Tensor.from(tensor.dataSync().subarray(begin, end), [1, end - begin], { dtype });
      return { sample, begin, end, cut };
    }),
  );

  it('write what they write part by part', () => {
    const whole = terminalGradientSync({ x, velocity, rewardGrad: G, lambda: 3, time: 0.8 }).dataSync();
    for (const { begin, end, cut } of slices) {
      const part = terminalGradientSync({
        x: cut(x),
        velocity: cut(velocity),
        rewardGrad: cut(G),
        lambda: 3,
        time: 0.8,
      }).dataSync();
      expect(bytes(whole.subarray(begin, end)).equals(bytes(part))).toBe(true);
    }
  });

  it('give the loss and gradient of their parts', async () => {
    const whole = matchingLossSync({ velocity, x, x1, terminalGradient: G, t, C: 1 });
    const grad = await inFloat64(whole.grad);
    const losses = [0, 0];
    for (const { sample, begin, end, cut } of slices) {
      const part = matchingLossSync({
        velocity: cut(velocity),
        x: cut(x),
        x1: cut(x1),
        terminalGradient: cut(G),
        t: [t[sample]!],
        C: 1,
      });
      const share = (end - begin) / elements;
      losses[sample]! += part.loss * share;
      const expected = (await inFloat64(part.grad)).map((value) => (value * share) / samples);
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(expected.reduce((most, value, i) => Math.max(most, Math.abs(value - grad[begin + i]!)), 0)).toBeLessThan(
        tolerance * largest,
      );
    }
    for (const sample of [0, 1]) expect(whole.perSample[sample]! / losses[sample]!).toBeCloseTo(1, 5);
  });

  it('write over their input as beside it where they draw noise', () => {
    const options = { t, noise: { seed: 1n, stream: [4n, 5n] } };
    const beside = renoiseSync({ x1, ...options }).dataSync();
    const over = Tensor.from(x1.dataSync().slice(), [samples, elements], { dtype });
    expect(bytes(renoiseSync({ x1: over, out: over, ...options }).dataSync()).equals(bytes(beside))).toBe(true);
  });
});
