// What a reward may return, what is refused, and what is not checked twice.
import { describe, expect, it } from 'vitest';

import { EamError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { combine } from '../../lib/rewards/combine.js';
import { fromFunction } from '../../lib/rewards/from-function.js';
import { score, type Reward, type RewardScore } from '../../lib/rewards/reward.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';
import { images, meanOf, prompts } from '../helpers/reward-images.js';

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
    expect(await numbersOf(grad!)).toEqual(Array.from(twos()));
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
    const data = await numbersOf(images());
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
      await numbersOf(grad!),
      (await numbersOf(images())).map((x) => x / 8),
      1e-6,
    );
  });

  it('is accepted with its gradient in another floating type, or the images themselves', async () => {
    const exact = await numbersOf(images());
    const double = await scored(({ values }) => ({
      values,
      grad: Tensor.from(Float64Array.from(exact), [3, 1, 4, 4]),
    }));
    expect(double.grad!.dtype).toBe('float32');
    expect(await numbersOf(double.grad!)).toEqual(exact);
    const batch = images();
    const own = await scored(({ values }, same) => ({ values, grad: same }), batch);
    expect(await numbersOf(own.grad!)).toEqual(exact);
    own.grad!.dispose();
    expect(await numbersOf(batch)).toEqual(exact);
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
    expect(await numbersOf(batch)).toEqual(new Array(48).fill(0));
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
      message:
        'it returned no gradient; training needs ∂(Σ values)/∂images, or `differentiable: false` of a reward that ' +
        'has none',
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
