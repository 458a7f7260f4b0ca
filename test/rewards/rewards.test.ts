import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { loadMnist, type LabelledImages } from '../../lib/models/digits/mnist.js';
import { ConfigError, EamError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { combine } from '../../lib/rewards/combine.js';
import { digitClassifier, digitJudge } from '../../lib/rewards/digit-classifier/digit-classifier.js';
import { fromFunction, type FunctionScore } from '../../lib/rewards/from-function.js';
import { moduleReward } from '../../lib/rewards/module.js';
import { createRewards } from '../../lib/rewards/registry.js';
import { score, type Reward, type RewardScore } from '../../lib/rewards/reward.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { torchScript } from '../../lib/rewards/torchscript.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose } from '../helpers/numbers.js';
import { temporaryFolder } from '../helpers/tiny-run.js';
import { forward, writeTorchScript } from '../helpers/torchscript.js';

const floats = async (tensor: Tensor): Promise<number[]> => Array.from((await tensor.data()) as Float32Array);

const images = (): Tensor =>
  Tensor.from(
    Float32Array.from({ length: 3 * 16 }, (_, index) => (index % 7) / 8),
    [3, 1, 4, 4],
  );
const prompts = ['0', '1', '2'];
const meanOf = (data: readonly number[], image: number) =>
  data.slice(16 * image, 16 * image + 16).reduce((sum, value) => sum + value, 0) / 16;

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
    expect(values[1]).toBeCloseTo(
      data.slice(16, 32).reduce((sum, x) => sum + x * x, 0),
      5,
    );
    expect(await floats(grad!)).toEqual(data.map((x) => Math.fround(2 * x)));
  });

  it('lets a function write to its numbers: the next reward sees the images', async () => {
    const careless = fromFunction('careless', ({ data, shape }) => ({ values: data.fill(9).subarray(0, shape[0]!) }));
    // Large enough, and shared with nothing: the kind of memory that `data()` gives a view of.
    const batch = await binding().weightedSum([Tensor.from(new Float32Array(2 * 64 * 64), [2, 1, 64, 64])], [1]);
    await careless.score(batch, ['0', '1']);
    expect(Math.max(...(await floats(batch)))).toBe(0);
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
    for (const value of await floats(grad!)) expect(value).toBeCloseTo(-3.5, 6);
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

describe('a score that was checked', () => {
  const own = (): Reward => ({
    name: 'own',
    score: async ({ shape }) => ({ values: [1, 2, 3], grad: Tensor.from(new Float32Array(48).fill(1), shape) }),
  });
  const twos = () => new Float32Array(48).fill(2);
  const withGradient = (reward: Reward) => score(reward, images(), prompts, { gradient: true });

  it.each([
    { made: 'combine', reward: combine([[own(), 2]]) },
    { made: 'combine of combine', reward: combine([[combine([[own(), 2]]), 1]]) },
    { made: 'fromFunction', reward: fromFunction('function', () => ({ values: [1, 2, 3], grad: twos() })) },
  ])('is not converted again where it was made by $made', async ({ reward }) => {
    let made: RewardScore | undefined;
    const passing: Reward = {
      name: 'passing',
      score: async (...question) => {
        made = await reward.score(...question);
        return made;
      },
    };
    const { values, grad } = await withGradient(passing);
    expect(grad).toBe(made!.grad);
    expect(values).toBe(made!.values);
    expect(await floats(grad!)).toEqual(Array.from(twos()));
  });

  it('is checked again where it answers for other images', async () => {
    const inner = combine([[own(), 1]]);
    const flattened: Reward = {
      name: 'flattened',
      score: (_given, asked, options) => inner.score(Tensor.from(new Float32Array(48), [3, 16]), asked, options),
    };
    await expect(withGradient(flattened)).rejects.toThrow(
      'reward "flattened" failed: grad: expected the images\' shape, [3, 1, 4, 4], got [3, 16]',
    );
  });

  it.each<{ what: string; edit: (score: RewardScore) => void; message: string }>([
    {
      what: 'its gradient',
      edit: (made) => {
        made.grad = Tensor.from([1], [1]);
      },
      message: "grad: expected the images' shape, [3, 1, 4, 4], got [1]",
    },
    {
      what: 'its values',
      edit: (made) => {
        made.values = [1];
      },
      message: 'it returned 1 values for 3 images',
    },
    {
      what: 'nothing, and disposed of its gradient',
      edit: (made) => made.grad!.dispose(),
      message: 'grad has been disposed of',
    },
    {
      what: 'its gradient to none',
      edit: (made) => {
        made.grad = undefined;
      },
      message: 'it returned no gradient',
    },
  ])('is checked again where a reward changed $what', async ({ edit, message }) => {
    const edited: Reward = {
      name: 'edited',
      async score(given, asked, options) {
        const made = await combine([[own(), 1]]).score(given, asked, options);
        edit(made);
        return made;
      },
    };
    await expect(withGradient(edited)).rejects.toThrow(message);
  });

  it('has no gradient where none is asked for, though the reward has one', async () => {
    const eager: Reward = {
      name: 'eager',
      score: (given, asked) => combine([[own(), 1]]).score(given, asked, { gradient: true }),
    };
    expect(await score(eager, images(), prompts, {})).not.toHaveProperty('grad');
  });
});

describe('the classifiers that come with the package', () => {
  let data: LabelledImages;
  beforeAll(async () => {
    data = await loadMnist(1000, 'cpu');
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
    let rise = 0;
    let predicted = 0;
    for (const slope of await floats(before.grad!)) predicted += 1e-3 * slope * slope;
    for (const image of asked.keys()) rise += after.values[image]! - before.values[image]!;
    expect(rise / predicted).toBeGreaterThan(0.9);
    expect(rise / predicted).toBeLessThan(1.1);
  });

  it('are two networks', async () => {
    const { batch, asked } = await heldOut();
    const classifier = await digitJudge({
      directory: new URL('../../assets/digit-classifier', import.meta.url).pathname,
    }).judge(batch, asked);
    const judge = await digitJudge().judge(batch, asked);
    expect(await floats(classifier.features)).not.toEqual(await floats(judge.features));
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
    expect(values[0]).toBeCloseTo(-2 * meanOf(await floats(images()), 0), 5);
  });
});

describe('a reward built on tensors', () => {
  /** A plain object with r = mean(x²) that answers as `change` says. */
  const plain = (change: (score: { values: unknown; grad: unknown }, images: Tensor) => unknown): Reward => ({
    name: 'plain',
    async score(batch) {
      const data = (await batch.data()) as Float32Array;
      const squares = Float32Array.from(data, (x) => x * x);
      const values = prompts.map((_, image) => meanOf(Array.from(squares), image));
      return change(
        {
          values,
          grad: Tensor.from(
            Float32Array.from(data, (x) => x / 8),
            batch.shape,
          ),
        },
        batch,
      ) as RewardScore;
    },
  });
  const scored = (change: Parameters<typeof plain>[0], batch = images()) =>
    score(plain(change), batch, prompts, { gradient: true });
  const squares = async () => {
    const data = await floats(images());
    return [0, 1, 2].map((image) =>
      meanOf(
        data.map((x) => x * x),
        image,
      ),
    );
  };

  it.each<{ what: string; form: (values: number[]) => unknown }>([
    { what: 'an array', form: (values) => values },
    { what: 'a Float32Array', form: (values) => Float32Array.from(values) },
    { what: 'a Float64Array', form: (values) => Float64Array.from(values) },
    { what: 'a Tensor [B]', form: (values) => Tensor.from(values, [3]) },
    { what: 'a Tensor [B, 1] of float64', form: (values) => Tensor.from(Float64Array.from(values), [3, 1]) },
  ])('is accepted with values as $what', async ({ form }) => {
    const { values, grad } = await scored((result) => ({ ...result, values: form(result.values as number[]) }));
    expect(values).toBeInstanceOf(Float32Array);
    expectClose(Array.from(values), await squares(), 1e-6);
    expectClose(
      await floats(grad!),
      (await floats(images())).map((x) => x / 8),
      1e-6,
    );
  });

  it('is accepted with its gradient in another floating type, or the images themselves', async () => {
    const exact = await floats(images());
    const double = await scored(({ values }) => ({
      values,
      grad: Tensor.from(Float64Array.from(exact), [3, 1, 4, 4]),
    }));
    expect(double.grad!.dtype).toBe('float32');
    expect(await floats(double.grad!)).toEqual(exact);
    const batch = images();
    const own = await scored(({ values }, same) => ({ values, grad: same }), batch);
    expect(await floats(own.grad!)).toEqual(exact);
    own.grad!.dispose();
    expect(await floats(batch)).toEqual(exact);
  });

  it('cannot write to the images or take them away', async () => {
    const batch = await binding().weightedSum([Tensor.from(new Float32Array(3 * 16), [3, 1, 4, 4])], [1]);
    const careless: Reward = {
      name: 'careless',
      async score(given) {
        const data = (await given.data()) as Float32Array;
        given.dispose();
        return { values: data.fill(9).slice(0, 3) };
      },
    };
    expect(Array.from((await score(careless, batch, prompts, {})).values)).toEqual([9, 9, 9]);
    expect(await floats(batch)).toEqual(new Array(48).fill(0));
  });

  it('has its tensors disposed of, and may keep no gradient', async () => {
    const made: Tensor[] = [];
    const values = Tensor.from([1, 2, 3], [3]);
    const constant = Tensor.from(new Float32Array(48), [3, 1, 4, 4]);
    await scored(({ grad }) => {
      made.push(grad as Tensor, values);
      return { values, grad };
    });
    expect(made.map(({ disposed }) => disposed)).toEqual([true, true]);
    await scored(() => ({ values: [1, 2, 3], grad: constant }));
    await expect(scored(() => ({ values: [1, 2, 3], grad: constant }))).rejects.toThrow(
      /"plain" failed: grad has been disposed of; return a new Tensor each time/,
    );
    let unwanted: Tensor | undefined;
    await score(
      plain((result) => {
        unwanted = result.grad as Tensor;
        return result;
      }),
      images(),
      prompts,
      {},
    );
    expect(unwanted!.disposed).toBe(true);
  });

  const disposedTensor = (shape: number[]) => {
    const tensor = Tensor.from(new Float32Array(shape.reduce((product, size) => product * size, 1)), shape);
    tensor.dispose();
    return tensor;
  };
  it.each<{ what: string; change: (result: { values: unknown; grad: unknown }) => unknown; message: string }>([
    { what: 'nothing', change: () => undefined, message: 'what it returned: expected { values, grad }, got undefined' },
    { what: 'null', change: () => null, message: 'what it returned: expected { values, grad }, got null' },
    { what: 'a number', change: () => 3, message: 'what it returned: expected { values, grad }, got a number' },
    {
      what: 'no values',
      change: ({ grad }) => ({ grad }),
      message: 'values: expected numbers in a typed array or an array, got undefined',
    },
    {
      what: 'one value for all',
      change: ({ grad }) => ({ values: 1, grad }),
      message: 'values: expected numbers in a typed array or an array, got a number',
    },
    {
      what: 'too few values',
      change: ({ grad }) => ({ values: [1, 2], grad }),
      message: 'it returned 2 values for 3 images',
    },
    {
      what: 'words',
      change: ({ grad }) => ({ values: [1, 'two', 3], grad }),
      message: 'values[1]: expected a number, got "two"',
    },
    {
      what: 'holes',
      change: ({ grad }) => ({ values: Object.assign(new Array(3), { 0: 1, 2: 3 }), grad }),
      message: 'values[1]: expected a number, got undefined',
    },
    {
      what: 'bigints',
      change: ({ grad }) => ({ values: [1n, 2n, 3n], grad }),
      message: 'values[0]: expected a number, got a bigint',
    },
    {
      what: 'values of another shape',
      change: ({ grad }) => ({ values: Tensor.from([1, 2, 3], [1, 3]), grad }),
      message: 'values: expected shape [3] or [3, 1], one value an image, got [1, 3]',
    },
    {
      what: 'disposed values',
      change: ({ grad }) => ({ values: disposedTensor([3]), grad }),
      message: 'values is a Tensor that has been disposed of',
    },
    {
      what: 'no gradient',
      change: ({ values }) => ({ values }),
      message: 'it returned no gradient; training needs ∂(Σ values)/∂images',
    },
    {
      what: 'a typed array as gradient',
      change: ({ values }) => ({ values, grad: new Float32Array(48) }),
      message:
        'grad: expected a Tensor (Tensor.from(grad, images.shape), or fromFunction), got a Float32Array; training',
    },
    {
      what: 'a gradient that is an object',
      change: ({ values }) => ({ values, grad: {} }),
      message: 'grad: expected a Tensor, got an object; training',
    },
    {
      what: 'a gradient of another shape',
      change: ({ values }) => ({ values, grad: Tensor.from(new Float32Array(48), [3, 16]) }),
      message: "grad: expected the images' shape, [3, 1, 4, 4], got [3, 16]",
    },
    {
      what: 'whole numbers as gradient',
      change: ({ values }) => ({ values, grad: Tensor.from(new Int32Array(48), [3, 1, 4, 4]) }),
      message: 'grad: expected a floating-point type, got int32',
    },
    {
      what: 'a disposed gradient',
      change: ({ values }) => ({ values, grad: disposedTensor([3, 1, 4, 4]) }),
      message: 'grad has been disposed of',
    },
  ])('is refused by name when it returns $what', async ({ change, message }) => {
    const error = (await scored(change).catch((caught: unknown) => caught)) as EamError;
    expect(error).toBeInstanceOf(EamError);
    expect(error).toMatchObject({
      code: 'ERR_EAM_REWARD',
      message: expect.stringContaining(`reward "plain" failed: ${message}`) as unknown,
    });
  });

  it.each<{ what: string; fail: () => unknown; message: string }>([
    {
      what: 'throws',
      fail: () => {
        throw new RangeError('no');
      },
      message: 'no',
    },
    { what: 'rejects with no error', fail: () => Promise.reject('out of order'), message: 'out of order' },
    { what: 'uses a tensor after dispose', fail: () => disposedTensor([3]).data(), message: 'disposed' },
  ])('is named where it $what', async ({ fail, message }) => {
    const reward = { name: 'failing', score: async () => (await fail()) as RewardScore };
    const error = (await score(reward, images(), prompts, {}).catch((caught: unknown) => caught)) as EamError;
    expect(error).toMatchObject({ code: 'ERR_EAM_REWARD' });
    expect(error.message).toMatch(new RegExp(`^reward "failing" failed: .*${message}`));
    expect(error.cause).toBeDefined();
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
    expect(await floats((await answer({ values: [1, 2, 3], grad: new Array(48).fill(2) })).grad!)).toEqual(
      new Array(48).fill(2),
    );
    const scratch = new Float32Array(48);
    const slope = (value: number) =>
      fromFunction(`slope ${value}`, () => ({ values: [0, 0, 0], grad: scratch.fill(value) }));
    const { grad } = await combine([
      [slope(1), 1],
      [slope(10), 1],
    ]).score(images(), prompts, { gradient: true });
    expect(await floats(grad!)).toEqual(new Array(48).fill(11));
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
    const data = await floats(images());
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
      await floats(result.grad!),
      data.map((x) => (w1 * -2 * (x - 0.3) + w2 * 3 * x * x + w3 * 4) / 16),
      3e-7,
    );
  });
});

describe('a reward in a module', () => {
  const folder = temporaryFolder();
  let count = 0;
  const module = (text: string) => {
    const path = join(folder, `reward-${++count}.mjs`);
    writeFileSync(path, text);
    return path;
  };

  it('is loaded as a function, which is given its options', async () => {
    const file = module(
      'export default ({ data, shape }, prompts, { slope }) => ({ values: prompts.map(Number), grad: data.map(() ' +
        '=> slope) })',
    );
    const reward = await createRewards([{ name: 'module', weight: 2, file, options: { slope: 3 } }], 'cpu');
    const { values, grad, parts } = await score(reward, images(), prompts, { gradient: true });
    expect(Array.from(values)).toEqual([0, 2, 4]);
    expect(await floats(grad!)).toEqual(new Array(48).fill(6));
    expect(Object.keys(parts!)).toEqual([`reward-${count}`]);
  });

  it('is loaded as a Reward', async () => {
    const file = module(
      "export default { name: 'mine', score: async (images, prompts) => ({ values: prompts.map(Number) }) }",
    );
    const reward = await moduleReward(file);
    expect(reward.name).toBe('mine');
    expect(Array.from((await score(reward, images(), prompts, {})).values)).toEqual([0, 1, 2]);
    await expect(moduleReward(file, { slope: 3 })).rejects.toThrow(
      /its default export is a Reward, which takes no options/,
    );
  });

  it.each([
    {
      text: 'export const reward = 1, other = 2',
      message: 'it has no default export, only other, reward; expected a reward: export default function',
    },
    { text: '', message: 'it has no default export; expected a reward' },
    { text: 'export default 3', message: 'its default export is a number, expected a function or a Reward' },
    { text: 'export default { name: "mine" }', message: 'its default export is an object without name and score' },
    { text: 'throw new Error("no licence")', message: 'it cannot be loaded: no licence' },
    { text: 'export default (', message: 'it cannot be loaded: ' },
  ])('is refused where the module is $text', async ({ text, message }) => {
    const error = (await moduleReward(module(text)).catch((caught: unknown) => caught)) as EamError;
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain(message);
  });

  it('is refused where the module does not exist', async () => {
    await expect(moduleReward(join(folder, 'absent.mjs'))).rejects.toThrow(/absent\.mjs: there is no such file$/);
  });
});
