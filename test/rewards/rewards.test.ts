import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ConfigError, type EamError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { combine } from '../../lib/rewards/combine.js';
import { fromFunction, type FunctionScore } from '../../lib/rewards/from-function.js';
import { createRewards } from '../../lib/rewards/registry.js';
import { score } from '../../lib/rewards/reward.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { torchScript } from '../../lib/rewards/torchscript.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';
import { temporaryFolder } from '../helpers/tiny-run.js';
import { forward, writeTorchScript } from '../helpers/torchscript.js';
import { images, meanOf, prompts } from '../helpers/reward-images.js';

describe('strokeWeight', () => {
  it('is the scaled mean intensity, with its gradient', async () => {
    const { values, grad } = await strokeWeight({ scale: 3 }).score(images(), prompts, { gradient: true });
    const data = await numbersOf(images());
    for (const image of [0, 1, 2]) expect(values[image]).toBeCloseTo(3 * meanOf(data, image), 5);
    expect(grad!.shape).toEqual([3, 1, 4, 4]);
    for (const value of await numbersOf(grad!)) expect(value).toBeCloseTo(3 / 16, 6);
  });

  it('gives no gradient where none is asked for', async () => {
    expect((await strokeWeight().score(images(), prompts)).grad).toBeUndefined();
  });

  it('refuses an unknown option', () => {
    expect(() => strokeWeight({ sclae: 2 } as object)).toThrow(/sclae: unknown key; did you mean "scale"\?/);
  });
});

describe('fromFunction', () => {
  it('is given the numbers, and its gradient becomes a tensor', async () => {
    const reward = fromFunction('sum of squares', async ({ data, shape }, asked) => {
      expect(shape).toEqual([3, 1, 4, 4]);
      const numbers = Array.from(data);
      return {
        values: asked.map((_, image) => numbers.slice(16 * image, 16 * image + 16).reduce((sum, x) => sum + x * x, 0)),
        grad: Float32Array.from(numbers, (x) => 2 * x),
      };
    });
    const { values, grad } = await reward.score(images(), prompts, { gradient: true });
    const data = await numbersOf(images());
    expect(values[1]).toBeCloseTo(
      data.slice(16, 32).reduce((sum, x) => sum + x * x, 0),
      5,
    );
    expect(await numbersOf(grad!)).toEqual(data.map((x) => Math.fround(2 * x)));
  });

  it('lets a function write to its numbers: the next reward sees the images', async () => {
    const careless = fromFunction('careless', ({ data, shape }) => ({ values: data.fill(9).subarray(0, shape[0]!) }));
    // Large enough, and shared with nothing: the kind of memory that `data()` gives a view of.
    const batch = await binding().weightedSum([Tensor.from(new Float32Array(2 * 64 * 64), [2, 1, 64, 64])], [1]);
    await careless.score(batch, ['0', '1']);
    expect(Math.max(...(await numbersOf(batch)))).toBe(0);
  });
});

describe('combine', () => {
  const constant = (name: string, value: number, slope: number) =>
    fromFunction(name, ({ data }, asked) => ({
      values: asked.map(() => value),
      grad: new Float32Array(data.length).fill(slope),
    }));

  it('weights values and gradients, and keeps the raw values', async () => {
    const reward = combine([
      [constant('a', 2, 1), 0.5],
      [constant('b', 3, -2), 2],
      [constant('a', 1, 0), 1],
    ]);
    const { values, grad, parts } = await reward.score(images(), prompts, { gradient: true });
    expect(Array.from(values)).toEqual([8, 8, 8]);
    for (const value of await numbersOf(grad!)) expect(value).toBeCloseTo(-3.5, 6);
    expect(Object.keys(parts!)).toEqual(['a', 'b', 'a-2']);
    expect(Array.from(parts!['b']!)).toEqual([3, 3, 3]);
  });

  it('lets NaN through to the trainer, which drops the sample', async () => {
    const broken = fromFunction('broken', ({ data }) => ({ values: [1, NaN, 1], grad: new Float32Array(data.length) }));
    const { values } = await combine([
      [constant('a', 1, 0), 1],
      [broken, 1],
    ]).score(images(), prompts, { gradient: true });
    expect(Array.from(values)).toEqual([2, NaN, 2]);
  });

  it('names the part that failed', async () => {
    const failing = fromFunction('failing', () => {
      throw new TypeError('no');
    });
    const error = (await combine([
      [constant('a', 1, 0), 1],
      [failing, 1],
    ])
      .score(images(), prompts)
      .catch((caught: unknown) => caught)) as EamError;
    expect(error).toMatchObject({ code: 'ERR_EAM_REWARD', message: 'reward "failing" failed: no' });
    expect(error.cause).toBeInstanceOf(TypeError);
  });

  it('refuses nothing to combine and weights that are not finite', () => {
    expect(() => combine([])).toThrow(ConfigError);
    expect(() => combine([[strokeWeight(), NaN]])).toThrow(
      /the weight of "stroke-weight": expected a finite number, got NaN/,
    );
  });
});

describe('the rewards of a configuration', () => {
  it('become one weighted sum', async () => {
    const reward = await createRewards(
      [
        { name: 'stroke-weight', weight: 2, scale: 1 },
        { name: 'stroke-weight', weight: -1, scale: 4 },
      ],
      'cpu',
    );
    const { values } = await reward.score(images(), prompts);
    expect(values[0]).toBeCloseTo(-2 * meanOf(await numbersOf(images()), 0), 5);
  });
});

describe('fromFunction with another result', () => {
  const answer = (result: unknown) =>
    score(
      fromFunction('odd', () => result as FunctionScore),
      images(),
      prompts,
      { gradient: true },
    );
  it.each<{ result: unknown; message: string }>([
    { result: undefined, message: 'values: expected numbers in a typed array or an array, got undefined' },
    {
      result: { values: { length: 3 } },
      message: 'values: expected numbers in a typed array or an array, got an object',
    },
    {
      result: { values: [1, 2, 3], grad: new Float32Array(47) },
      message: "grad: expected 48 numbers, one for each of the images', got 47",
    },
    {
      result: { values: [1, 2, 3], grad: 'up' },
      message: 'grad: expected numbers in a typed array or an array, got "up"',
    },
    { result: { values: [1, 2, 3] }, message: 'it returned no gradient' },
  ])('refuses $result', async ({ result, message }) => {
    await expect(answer(result)).rejects.toThrow(`reward "odd" failed: ${message}`);
  });

  it('accepts arrays of any kind, and copies one that is used again', async () => {
    expect(await numbersOf((await answer({ values: [1, 2, 3], grad: new Array(48).fill(2) })).grad!)).toEqual(
      new Array(48).fill(2),
    );
    const scratch = new Float32Array(48);
    const slope = (value: number) =>
      fromFunction(`slope ${value}`, () => ({ values: [0, 0, 0], grad: scratch.fill(value) }));
    const { grad } = await combine([
      [slope(1), 1],
      [slope(10), 1],
    ]).score(images(), prompts, { gradient: true });
    expect(await numbersOf(grad!)).toEqual(new Array(48).fill(11));
  });
});

describe('the sum of rewards of three kinds', () => {
  it('has the values Σ w·r and the gradients Σ w·∇r', async () => {
    const folder = temporaryFolder();
    const script = writeTorchScript(
      join(folder, 'near.pt'),
      forward('images: Tensor', 'torch.neg(torch.mean(torch.pow(torch.sub(images, 0.3), 2), [1, 2, 3]))'),
    );
    const cubes = fromFunction('cubes', ({ data }) => ({
      values: prompts.map((_, image) =>
        meanOf(
          Array.from(data, (x) => x ** 3),
          image,
        ),
      ),
      grad: Float64Array.from(data, (x) => (3 * x * x) / 16),
    }));
    const [w1, w2, w3] = [0.7, -1.3, 2.5];
    const reward = combine([
      [await torchScript(script), w1],
      [cubes, w2],
      [strokeWeight({ scale: 4 }), w3],
    ]);
    const result = await score(reward, images(), prompts, { gradient: true });
    const data = await numbersOf(images());
    const raw = {
      near: [0, 1, 2].map(
        (image) =>
          -meanOf(
            data.map((x) => (x - 0.3) ** 2),
            image,
          ),
      ),
      cubes: [0, 1, 2].map((image) =>
        meanOf(
          data.map((x) => x ** 3),
          image,
        ),
      ),
      'stroke-weight': [0, 1, 2].map((image) => 4 * meanOf(data, image)),
    };
    expect(result.weights).toEqual({ near: w1, cubes: w2, 'stroke-weight': w3 });
    for (const [name, values] of Object.entries(raw)) expectClose(Array.from(result.parts![name]!), values, 3e-7, name);
    expectClose(
      Array.from(result.values),
      [0, 1, 2].map((i) => w1 * raw.near[i]! + w2 * raw.cubes[i]! + w3 * raw['stroke-weight'][i]!),
      3e-7,
    );
    expectClose(
      await numbersOf(result.grad!),
      data.map((x) => (w1 * -2 * (x - 0.3) + w2 * 3 * x * x + w3 * 4) / 16),
      3e-7,
    );
  });
});
