import { beforeAll, describe, expect, it } from 'vitest';

import { loadMnist, type LabelledImages } from '../lib/data/mnist.js';
import { ConfigError, EamError } from '../lib/errors.js';
import { binding } from '../lib/native/index.js';
import { combine } from '../lib/rewards/combine.js';
import { digitClassifier, digitJudge } from '../lib/rewards/digit-classifier.js';
import { fromFunction } from '../lib/rewards/from-function.js';
import { createRewards } from '../lib/rewards/registry.js';
import { strokeWeight } from '../lib/rewards/stroke-weight.js';
import { Tensor } from '../lib/tensor.js';

const floats = async (tensor: Tensor): Promise<number[]> => Array.from((await tensor.data()) as Float32Array);

const images = (): Tensor => Tensor.from(Float32Array.from({ length: 3 * 16 }, (_, index) => (index % 7) / 8), [3, 1, 4, 4]);
const prompts = ['0', '1', '2'];
const meanOf = (data: readonly number[], image: number) => data.slice(16 * image, 16 * image + 16).reduce((sum, value) => sum + value, 0) / 16;

describe('strokeWeight', () => {
  it('is the scaled mean intensity, with its gradient', async () => {
    const { values, grad } = await strokeWeight({ scale: 3 }).score(images(), prompts, { gradient: true });
    const data = await floats(images());
    for (const image of [0, 1, 2]) expect(values[image]).toBeCloseTo(3 * meanOf(data, image), 5);
    expect(grad!.shape).toEqual([3, 1, 4, 4]);
    for (const value of await floats(grad!)) expect(value).toBeCloseTo(3 / 16, 6);
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
    const data = await floats(images());
    expect(values[1]).toBeCloseTo(data.slice(16, 32).reduce((sum, x) => sum + x * x, 0), 5);
    expect(await floats(grad!)).toEqual(data.map((x) => Math.fround(2 * x)));
  });

  it('may write to its numbers: the next reward sees the images', async () => {
    const careless = fromFunction('careless', ({ data, shape }) => ({ values: data.fill(9).subarray(0, shape[0]!) }));
    // Large enough, and shared with nothing: the kind of memory that `data()` gives a view of.
    const batch = await binding().weightedSum([Tensor.from(new Float32Array(2 * 64 * 64), [2, 1, 64, 64])], [1]);
    await careless.score(batch, ['0', '1']);
    expect(Math.max(...(await floats(batch)))).toBe(0);
  });
});

describe('combine', () => {
  const constant = (name: string, value: number, slope: number) =>
    fromFunction(name, ({ data }, asked) => ({ values: asked.map(() => value), grad: new Float32Array(data.length).fill(slope) }));

  it('weights values and gradients, and keeps the raw values', async () => {
    const reward = combine([[constant('a', 2, 1), 0.5], [constant('b', 3, -2), 2], [constant('a', 1, 0), 1]]);
    const { values, grad, parts } = await reward.score(images(), prompts, { gradient: true });
    expect(Array.from(values)).toEqual([8, 8, 8]);
    for (const value of await floats(grad!)) expect(value).toBeCloseTo(-3.5, 6);
    expect(Object.keys(parts!)).toEqual(['a', 'b', 'a-2']);
    expect(Array.from(parts!['b']!)).toEqual([3, 3, 3]);
  });

  it('lets NaN through to the trainer, which drops the sample', async () => {
    const broken = fromFunction('broken', ({ data }) => ({ values: [1, NaN, 1], grad: new Float32Array(data.length) }));
    const { values } = await combine([[constant('a', 1, 0), 1], [broken, 1]]).score(images(), prompts, { gradient: true });
    expect(Array.from(values)).toEqual([2, NaN, 2]);
  });

  it('names the part that failed', async () => {
    const failing = fromFunction('failing', () => { throw new TypeError('no'); });
    const error = (await combine([[constant('a', 1, 0), 1], [failing, 1]]).score(images(), prompts).catch((caught: unknown) => caught)) as EamError;
    expect(error).toMatchObject({ code: 'ERR_EAM_REWARD', message: 'reward "failing" failed: no' });
    expect(error.cause).toBeInstanceOf(TypeError);
  });

  it('refuses nothing to combine and weights that are not finite', () => {
    expect(() => combine([])).toThrow(ConfigError);
    expect(() => combine([[strokeWeight(), NaN]])).toThrow(/weight of "stroke-weight" is NaN/);
  });
});

describe('the classifiers that come with the package', () => {
  let data: LabelledImages;
  beforeAll(async () => {
    data = await loadMnist(1000);
  });

  const heldOut = async () => {
    const rows = data.heldOut.slice(0, 400);
    return {
      batch: await binding().gatherImages(data.images, rows, undefined, 1, 0),
      asked: Array.from(rows, (row) => String(data.labels[row])),
    };
  };

  it('were never trained on the held-out digits, and read them', async () => {
    expect(data.train.length + data.heldOut.length).toBe(data.labels.length);
    expect(new Set([...data.train, ...data.heldOut]).size).toBe(data.labels.length);
    const { batch, asked } = await heldOut();
    const { matches, features } = await digitJudge().judge(batch, asked);
    expect(matches.filter(Boolean).length / 400).toBeGreaterThan(0.96);
    expect(features.shape).toEqual([400, 64]);
    const { values } = await digitClassifier().score(batch, asked);
    expect(values.filter((value) => value > Math.log(0.5)).length / 400).toBeGreaterThan(0.96);
  });

  it('score the digit that was asked for, not the one that is there', async () => {
    const { batch, asked } = await heldOut();
    const wrong = asked.map((digit) => String((Number(digit) + 1) % 10));
    const { values } = await digitClassifier().score(batch, wrong);
    expect(values.filter((value) => value < Math.log(0.5)).length / 400).toBeGreaterThan(0.96);
  });

  it('have a gradient that points uphill', async () => {
    const { batch, asked } = await heldOut();
    const reward = digitClassifier();
    const before = await reward.score(batch, asked, { gradient: true });
    const moved = await binding().weightedSum([batch, before.grad!], [1, 1e-3]);
    const after = await reward.score(moved, asked);
    let rise = 0, predicted = 0;
    for (const slope of await floats(before.grad!)) predicted += 1e-3 * slope * slope;
    for (const image of asked.keys()) rise += after.values[image]! - before.values[image]!;
    expect(rise / predicted).toBeGreaterThan(0.9);
    expect(rise / predicted).toBeLessThan(1.1);
  });

  it('are two networks', async () => {
    const { batch, asked } = await heldOut();
    const classifier = await digitJudge({ directory: new URL('../assets/digit-classifier', import.meta.url).pathname }).judge(batch, asked);
    const judge = await digitJudge().judge(batch, asked);
    expect(await floats(classifier.features)).not.toEqual(await floats(judge.features));
  });
});

describe("a configuration's rewards", () => {
  it('become one weighted sum', async () => {
    const reward = createRewards([{ name: 'stroke-weight', weight: 2, scale: 1 }, { name: 'stroke-weight', weight: -1, scale: 4 }], 'cpu');
    const { values } = await reward.score(images(), prompts);
    expect(values[0]).toBeCloseTo(-2 * meanOf(await floats(images()), 0), 5);
  });
});
