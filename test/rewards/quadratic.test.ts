import { describe, expect, it } from 'vitest';

import { quadratic } from '../../lib/rewards/quadratic.js';
import { score } from '../../lib/rewards/reward.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';
import { lopsided, rewardOf } from '../helpers/mixtures.js';

describe('the quadratic reward', () => {
  it('gives values and gradients', async () => {
    const x = [
      [0.5, -1],
      [2, 0.25],
    ];
    const images = Tensor.from(Float32Array.from(x.flat()), [2, 2, 1, 1]);
    const { values, grad } = await score(quadratic(lopsided.reward), images, ['', ''], { gradient: true });
    expectClose(
      [...values],
      x.map((row) => rewardOf(lopsided, row)),
      1e-6,
    );
    const { linear, quadratic: curvature, center } = lopsided.reward;
    expectClose(
      await numbersOf(grad!),
      x.flatMap((row) => row.map((value, j) => linear[j]! - curvature[j]! * (value - center[j]!))),
      1e-6,
    );
    expect(grad!.shape).toEqual([2, 2, 1, 1]);
  });

  it('fills in zeros and refuses lengths that do not agree', async () => {
    const { values } = await score(quadratic({ quadratic: [2] }), Tensor.from([3], [1, 1, 1, 1]), [''], {});
    expect(values[0]).toBe(-9);
    expect(() => quadratic({ center: [1] })).toThrow(/expected linear, quadratic or both/);
    await expect(score(quadratic({ linear: [1, 2] }), Tensor.from([3], [1, 1]), [''], {})).rejects.toThrow(
      /linear: expected one number for each of a sample's 1, got 2/,
    );
  });
});
