// The native networks of published rewards against what the published code computes.
import { describe, expect, it } from 'vitest';

import { ConfigError, DisposedError, ShapeError } from '../../lib/errors.js';
import { type DType, Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';
import { tinyRewardNames, tinyRewards } from '../helpers/published-rewards.js';
import { failure } from '../helpers/refusal.js';
import { goldensOf, score, type Goldens } from '../helpers/tiny-reward-scores.js';

const shapes = ['square', 'wide'] as const;

/** The images with some numbers replaced. */
async function changed(
  images: Tensor,
  change: (pixels: Float64Array) => void,
  dtype: DType = 'float32',
): Promise<Tensor> {
  const pixels = Float64Array.from(await numbersOf(images));
  change(pixels);
  return Tensor.from(pixels, images.shape).to({ dtype });
}

describe.each(tinyRewardNames)('the reward %s', (name) => {
  it('gives the values and the gradient of the published code', async () => {
    const reward = await tinyRewards[name]();
    const goldens = await goldensOf(name);
    for (const shape of shapes) {
      const { values, grad } = await score(reward, goldens[`${shape}.images`]!, goldens);
      expectClose(Array.from(values), await numbersOf(goldens[`${shape}.scores`]!), 1e-4, `${shape} scores`);
      expectClose(await numbersOf(grad!), await numbersOf(goldens[`${shape}.grad_images`]!), 1e-4, `${shape} gradient`);
    }
  });

  it('preprocesses as the published code', async () => {
    const reward = await tinyRewards[name]();
    const goldens = await goldensOf(name);
    for (const shape of shapes) {
      const pixels = await reward.preprocess(goldens[`${shape}.images`]!);
      expect(pixels.shape).toEqual([4, 3, 32, 32]);
      expectClose(await numbersOf(pixels), await numbersOf(goldens[`${shape}.pixel_values`]!), 1e-4, shape);
    }
  });

  it('scores slice by slice what it scores at once', async () => {
    const reward = await tinyRewards[name]();
    const goldens = await goldensOf(name);
    const whole = await score(reward, goldens['wide.images']!, goldens);
    for (const slice of [1, 3, 9]) {
      const sliced = await score(reward, goldens['wide.images']!, goldens, true, slice);
      expectClose(Array.from(sliced.values), Array.from(whole.values), 1e-5, `values, ${slice} at a time`);
      expectClose(await numbersOf(sliced.grad!), await numbersOf(whole.grad!), 1e-5, `gradient, ${slice} at a time`);
    }
    expect((await score(reward, goldens['wide.images']!, goldens, false, 2)).grad).toBeUndefined();
  });

  it('keeps a pixel that is not a number to its own image', async () => {
    const reward = await tinyRewards[name]();
    const goldens = await goldensOf(name);
    const images = goldens['square.images']!;
    const spoilt = await changed(images, (pixels) => {
      pixels[3 * 64 * 64 + 2000] = NaN;
    });
    const clean = await score(reward, images, goldens);
    const { values, grad } = await score(reward, spoilt, goldens);
    expect(Array.from(values, Number.isNaN)).toEqual([false, true, false, false]);
    const rest = (numbers: ArrayLike<number>, size: number) =>
      Array.from(numbers).filter((_, index) => Math.floor(index / size) !== 1);
    expectClose(rest(values, 1), rest(clean.values, 1), 1e-5, 'values');
    expectClose(
      rest(await numbersOf(grad!), 3 * 64 * 64),
      rest(await numbersOf(clean.grad!), 3 * 64 * 64),
      1e-5,
      'gradient',
    );
  });

  it('computes its towers in bfloat16', async () => {
    const reward = await tinyRewards[name]({ dtype: 'bfloat16' });
    const goldens = await goldensOf(name);
    const { values, grad } = await score(reward, goldens['square.images']!, goldens);
    expect(grad!.dtype).toBe('float32');
    expectClose(Array.from(values), await numbersOf(goldens['square.scores']!), 0.05);
    expectClose(await numbersOf(grad!), await numbersOf(goldens['square.grad_images']!), 0.1);
  });

  it('scores images of any size', async () => {
    const reward = await tinyRewards[name]();
    const goldens = await goldensOf(name);
    const one = Object.fromEntries(
      await Promise.all(
        (['ids', 'mask'] as const)
          .filter((key) => goldens[key])
          .map(async (key) => {
            const [, length] = goldens[key]!.shape;
            return [key, Tensor.from(Int32Array.from((await numbersOf(goldens[key]!)).slice(0, length)), [1, length!])];
          }),
      ),
    ) as Goldens;
    for (const [height, width] of [
      [1, 1],
      [1, 2000],
      [3000, 2],
      [31, 33],
      [32, 32],
    ] as const) {
      const { values, grad } = await score(
        reward,
        Tensor.from(new Float32Array(3 * height * width).fill(0.4), [1, 3, height, width]),
        one,
      );
      expect(values[0], `${height}×${width}`).toBeTypeOf('number');
      expect([...values, ...(await numbersOf(grad!))].every(Number.isFinite), `${height}×${width}`).toBe(true);
    }
  });

  it('gives features of unit length', async () => {
    const reward = await tinyRewards[name]();
    const goldens = await goldensOf(name);
    const [images, { ids, mask }] = [goldens['wide.images']!, goldens];
    const alone = await reward.features(images, 0);
    const numbers = await numbersOf(alone);
    const [batch, width] = alone.shape as [number, number];
    expect(batch).toBe(4);
    for (let i = 0; i < 4; ++i) expect(Math.hypot(...numbers.slice(i * width, (i + 1) * width))).toBeCloseTo(1, 5);

    // Beside the scores, with and without a gradient, and slice by slice.
    for (const slice of [0, 1, 3, 9]) {
      expectClose(await numbersOf(await reward.features(images, slice)), numbers, 1e-5, `${slice} at a time`);
      for (const grad of [false, true]) {
        const scored = await reward.score(images, ids, mask, { grad, features: true }, slice);
        expect(scored.features!.shape).toEqual([4, width]);
        expectClose(await numbersOf(scored.features!), numbers, 1e-5, `beside scores, ${slice} at a time`);
        expectClose(
          Array.from(scored.values),
          await numbersOf(goldens['wide.scores']!),
          1e-4,
          'scores beside features',
        );
        expect(scored.grad !== undefined).toBe(grad);
      }
    }
    expect((await score(reward, images, goldens)).features).toBeUndefined();
    expect(await failure(ConfigError, reward.features(images, -2))).toContain(
      'slice: expected 0 (all) or more, got -2',
    );
  });

  it('refuses images that are none', async () => {
    const reward = await tinyRewards[name]();
    const goldens = await goldensOf(name);
    const images = (...shape: number[]) => Tensor.from(new Float32Array(shape.reduce((a, b) => a * b)), shape);
    expect(await failure(ShapeError, score(reward, images(4, 1, 8, 8), goldens))).toMatch(
      /images: expected shape \[B, 3, H, W\], .*, got \[4, 1, 8, 8\]; one channel is grey/,
    );
    expect(await failure(ShapeError, score(reward, images(4, 4, 8, 8), goldens))).toMatch(
      /got \[4, 4, 8, 8\]; the fourth channel is transparency/,
    );
    expect(await failure(ShapeError, reward.preprocess(images(3, 8, 8)))).toMatch(/\[B, 3, H, W\]/);
    expect(await failure(ShapeError, reward.features(images(0, 3, 8, 8), 0))).toMatch(/at least one image/);
    expect(
      await failure(ShapeError, score(reward, Tensor.from(new Int32Array(4 * 3 * 64), [4, 3, 8, 8]), goldens)),
    ).toMatch(/floating/);
  });

  it('refuses all use after dispose', async () => {
    const reward = await tinyRewards[name]();
    const goldens = await goldensOf(name);
    const running = score(reward, goldens['square.images']!, goldens);
    reward.dispose();
    reward.dispose();
    expect((await running).values).toHaveLength(4);
    expect(await failure(DisposedError, score(reward, goldens['square.images']!, goldens))).toContain('disposed');
    expect(await failure(DisposedError, reward.features(goldens['square.images']!, 0))).toContain('disposed');
  });
});

describe('the gradient of a published reward', () => {
  it.each(['pickscore', 'hpsv2', 'imagereward'] as const)(
    'is the slope of its values, in float64: %s',
    async (name) => {
      const reward = await tinyRewards[name]({ dtype: 'float64' });
      const goldens = await goldensOf(name);
      const images = await goldens['wide.images']!.to({ dtype: 'float64' });
      const { grad } = await score(reward, images, goldens);
      expect(grad!.dtype).toBe('float64');
      const slope = await numbersOf(grad!);
      const length = Math.hypot(...slope);
      const sum = async (step: number) => {
        const moved = await changed(
          images,
          (pixels) =>
            slope.forEach((value, index) => {
              pixels[index]! += (step * value) / length;
            }),
          'float64',
        );
        return (await score(reward, moved, goldens, false)).values.reduce((total, value) => total + value, 0);
      };
      const step = 0.1; // the values come back in float32, so the step is a large one
      expectClose([(await sum(step)) - (await sum(-step))], [2 * step * length], 5e-3);
    },
  );
});

describe('a published reward with preprocessing in bytes', () => {
  it('agrees with PIL to two levels of 255, and to none where it rounds as PIL', async () => {
    const goldens = await goldensOf('pickscore');
    const [channels, height, width] = goldens['pil.input_uint8']!.shape as [number, number, number];
    const bytes = Float32Array.from(await numbersOf(goldens['pil.input_uint8']!), (level) => level / 255);
    const images = Tensor.from(bytes, [1, channels, height, width]);
    const std = [0.26862954, 0.26130258, 0.27577711];
    const expected = await numbersOf(goldens['pil.pixel_values']!);
    for (const rounds of [true, false]) {
      const reward = await tinyRewards.pickscore({ preprocess: { bytes: rounds } });
      const found = await numbersOf(await reward.preprocess(images));
      const off = found.map(
        (value, index) => Math.abs(value - expected[index]!) * std[Math.floor(index / 1024)]! * 255,
      );
      expect(Math.max(...off)).toBeLessThan(rounds ? 0.01 : 2);
    }
  });

  it('has no gradient', async () => {
    const goldens = await goldensOf('pickscore');
    const reward = await tinyRewards.pickscore({ preprocess: { bytes: true } });
    expect((await score(reward, goldens['square.images']!, goldens, false)).values).toHaveLength(4);
    expect(await failure(ConfigError, score(reward, goldens['square.images']!, goldens))).toContain('bytes');
  });
});
