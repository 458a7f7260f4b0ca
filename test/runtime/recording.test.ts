// Functions that JavaScript records and the native thread computes: how the two threads wait for each other, and end.
import { describe, expect, it } from 'vitest';

import { ShapeError } from '../../lib/errors.js';
import { compute, defineModel, gradients, ops, philoxNormal, Tensor } from '../../lib/index.js';
import { hold } from '../helpers/executor.js';
import { compiled } from '../helpers/child.js';
import { imports, run } from '../helpers/native-work.js';
import { numbersOf } from '../helpers/numbers.js';

const x = () => Tensor.from([1, 2, 3], [3]);

const scale = () =>
  defineModel({
    name: 'scale',
    latentShape: [1, 1, 1],
    trainable: { a: Tensor.from([2], []) },
    velocity: (z, _t, _c, { parameters }) => ops.mul(z, parameters['a']!),
  });

describe('compute', () => {
  it('gives a tensor that is the caller’s own', async () => {
    const input = x();
    const same = await compute((z) => ops.reshape(z!, [3, 1]), [input]);
    input.dispose();
    expect(await numbersOf(same)).toEqual([1, 2, 3]);
  });

  it('keeps constants, and functions within functions, apart', async () => {
    const constant = Tensor.from([10, 20, 30], [3]);
    let inner: Promise<Tensor> | undefined;
    const outer = await compute(
      (z) => {
        inner = compute((w) => ops.mul(w!, 2), [constant]);
        return ops.add(ops.add(z!, constant), ops.mul(constant, constant));
      },
      [x()],
    );
    expect(await numbersOf(outer)).toEqual([111, 422, 933]);
    expect(await numbersOf(await inner!)).toEqual([20, 40, 60]);
  });

  it('is an instance of Tensor while it is recorded, which can be shown and disposed of', async () => {
    await compute(
      (z) => {
        using half = ops.mul(z!, 0.5);
        expect(half instanceof Tensor).toBe(true);
        expect(half).toMatchObject({ shape: [3], dtype: 'float32', device: 'cpu', disposed: false });
        expect(
          `${(half as unknown as Record<symbol, () => string>)[Symbol.for('nodejs.util.inspect.custom')]!()}`,
        ).toBe('Tensor float32 [3] (recorded, without numbers)');
        half.dispose();
        return half;
      },
      [x()],
    );
  });

  it.each([
    {
      how: 'an operator outside of a function',
      work: async () => ops.neg(x()),
      message: /^neg: operators are recorded by a function/,
    },
    {
      how: 'numbers alone',
      work: () => compute(() => ops.add(1, 2), []),
      message: /^add: expected at least one Tensor, got numbers alone/,
    },
    {
      how: 'what is no number',
      work: () => compute((z) => ops.mul(z!, '2' as never), [x()]),
      message: /^mul: b: expected a Tensor or a number, got "2"/,
    },
    { how: 'NaN', work: () => compute((z) => ops.mul(z!, NaN), [x()]), message: /^mul: b: expected a finite number/ },
    {
      how: 'a fraction for a dimension',
      work: () => compute((z) => ops.softmax(z!, 0.5), [x()]),
      message: /^softmax: dim: expected an integer, got 0.5/,
    },
    {
      how: 'another mode',
      work: () => compute((z) => ops.gelu(z!, 'sigmoid' as never), [x()]),
      message: /^gelu: approximate: expected one of "none", "tanh", got "sigmoid"/,
    },
    {
      how: 'a dtype of whole numbers',
      work: () => compute((z) => ops.cast(z!, 'int32' as never), [x()]),
      message: /^cast: dtype: expected/,
    },
    {
      how: 'no tensors to put together',
      work: () => compute(() => ops.cat([], 0), [x()]),
      message: /^cat: tensors: expected an array of at least one Tensor/,
    },
    {
      how: 'no function',
      work: () => compute(3 as never, []),
      message: /^compute: f: expected a function, got number/,
    },
    {
      how: 'a promise',
      work: () => compute((async () => x()) as never, []),
      message: /^compute: what f returned: expected a Tensor, got a promise/,
    },
    {
      how: 'a method of a recorded tensor',
      work: () => compute((z) => z!.toDLPack() as never, [x()]),
      message: /a shape and no numbers/,
    },
    {
      how: 'a recorded tensor in a kernel',
      work: () => compute((z) => Reflect.apply(Tensor.prototype.dataSync, z, []) as never, [x()]),
      message: /Illegal invocation|no numbers/,
    },
  ])('refuses $how', async ({ work, message }) => {
    await expect(work()).rejects.toThrow(message);
  });

  it.each([
    {
      how: 'shapes that do not broadcast',
      f: (z: Tensor) => ops.add(z, Tensor.from([1, 2], [2])),
      message: /^add: expected arguments that fit, got a float32 \[3\], b float32 \[2\]: /,
    },
    {
      how: 'a reshape to another size',
      f: (z: Tensor) => ops.reshape(z, [2, 2]),
      message: /^reshape: expected arguments that fit, got x float32 \[3\], shape \[2, 2\]: /,
    },
    {
      how: 'a dimension that is not there',
      f: (z: Tensor) => ops.softmax(z, 2),
      message: /^softmax: expected arguments that fit, got x float32 \[3\], dim 2: /,
    },
    {
      how: 'a slice beyond the end',
      f: (z: Tensor) => ops.slice(z, 0, 1, 5),
      message: /^slice: start: expected 0 ≤ start < end ≤ 3, .* got start 1, end 5/,
    },
    {
      how: 'a squeeze of more than one',
      f: (z: Tensor) => ops.squeeze(z, 0),
      message: /^squeeze: dim: expected a dimension of size 1, got 0 of shape \[3\]/,
    },
    {
      how: 'a chunk that leaves a rest',
      f: (z: Tensor) => ops.chunk(z, 2, 0)[0]!,
      message: /^chunk: x: expected a multiple of 2 in dimension 0, got shape \[3\]/,
    },
    {
      how: 'a convolution of another number of channels',
      f: () =>
        ops.conv2d(Tensor.from(new Float32Array(16), [1, 1, 4, 4]), Tensor.from(new Float32Array(18), [1, 2, 3, 3])),
      message: /^conv2d: weight: expected a kernel for x's 1 channels, got shape \[1, 2, 3, 3\]/,
    },
    {
      how: 'a kernel larger than the image',
      f: () =>
        ops.conv2d(Tensor.from(new Float32Array(4), [1, 1, 2, 2]), Tensor.from(new Float32Array(9), [1, 1, 3, 3])),
      message: /^conv2d: x: expected pixels for at least one place of the kernel/,
    },
    {
      how: 'a normalisation with another number of weights',
      f: (z: Tensor) => ops.layerNorm(z, { weight: Tensor.from([1, 2], [2]) }),
      message: /^layerNorm: weight: expected shape \[3\], got \[2\]/,
    },
    {
      how: 'groups that do not divide the channels',
      f: () => ops.groupNorm(Tensor.from(new Float32Array(6), [1, 3, 2]), 2),
      message: /^groupNorm: groups: expected a divisor of the 3 channels, got 2/,
    },
    {
      how: 'attention of other widths',
      f: () =>
        ops.attention(
          Tensor.from(new Float32Array(6), [3, 2]),
          Tensor.from(new Float32Array(9), [3, 3]),
          Tensor.from(new Float32Array(9), [3, 3]),
        ),
      message: /^attention: expected arguments that fit/,
    },
    {
      how: 'fractions as rows of a table',
      f: (z: Tensor) => ops.embedding(Tensor.from([1, 2], [2, 1]), z),
      message: /^embedding: ids: expected whole numbers, int32 or int64/,
    },
    {
      how: 'a row that the table does not have',
      f: () => ops.embedding(Tensor.from([1, 2], [2, 1]), Tensor.from(Int32Array.from([2]), [1])),
      message: /^embedding: ids: expected rows of the table, 0 to 1, got 2/,
    },
    {
      how: 'an image of no pixels',
      f: () => ops.interpolate(Tensor.from([1], [1, 1, 1, 1]), [0, 2]),
      message: /^interpolate: size: expected \[height, width\], each at least 1, got \[0, 2\]/,
    },
  ])('refuses $how with both of them', async ({ f, message }) => {
    const failure: unknown = await compute((z) => f(z!), [x()]).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ShapeError);
    expect((failure as Error).message).toMatch(message);
  });
});

describe('gradients', () => {
  it('are of the sum of the values, and zero for what the value does not depend on', async () => {
    const ids = Tensor.from(Int32Array.from([1]), [1]);
    const found = await gradients(
      (z, w, i) => ops.add(ops.square(z!), ops.mul(ops.reshape(ops.embedding(w!, i!), [1]), 0)),
      [x(), Tensor.from([5, 6], [2, 1]), ids],
    );
    expect(await numbersOf(found.value)).toEqual([1, 4, 9]);
    expect(await numbersOf(found.gradients[0]!)).toEqual([2, 4, 6]);
    expect(await numbersOf(found.gradients[1]!)).toEqual([0, 0]);
    expect(found.gradients[2]!.shape).toEqual([1]);
    const constant = await gradients((z) => ops.neg(Tensor.from([z!.shape[0]!], [1])), [x()]);
    expect(await numbersOf(constant.gradients[0]!)).toEqual([0, 0, 0]);
  });

  it('refuse an upstream of another shape', async () => {
    await expect(gradients((z) => ops.neg(z!), [x()], Tensor.from([1], [1]))).rejects.toThrow(
      /^gradients: upstream: expected the value's shape and device, \[3\] on cpu, got \[1\] on cpu/,
    );
  });
});

describe('the native thread, which asks for a program,', () => {
  it('is answered while JavaScript waits for that thread itself', async () => {
    const model = scale();
    const go = hold();
    const z = Tensor.from([3], [1, 1, 1, 1]);
    const velocity = model.native.velocity(z, Float32Array.of(0.5), await model.encode(['a']), false);
    const released = go();
    // newNetwork waits until the velocity, and with it the recording, is done.
    scale();
    await released;
    expect(await numbersOf(await velocity)).toEqual([6]);
  });

  it('waits for JavaScript that is busy, and lets other work of it follow', async () => {
    const model = scale();
    const order: string[] = [];
    const z = Tensor.from([3], [1, 1, 1, 1]);
    const first = model.native
      .velocity(z, Float32Array.of(0.5), await model.encode(['a']), false)
      .then(() => order.push('velocity'));
    const second = philoxNormal([4], { seed: 1n, stream: 1n }).then(() => order.push('noise'));
    for (let i = 0; i < 2e7; i++);
    await Promise.all([first, second]);
    expect(order).toEqual(['velocity', 'noise']);
  });

  it('computes with a hundred shapes, more than it keeps programs of', async () => {
    const model = scale();
    for (let batch = 1; batch <= 100; batch++) {
      const z = Tensor.from(new Float32Array(batch).fill(1), [batch, 1, 1, 1]);
      const prompts = Array<string>(batch).fill('a');
      using velocity = await model.native.velocity(z, new Float32Array(batch), await model.encode(prompts), false);
      expect(velocity.shape[0]).toBe(batch);
    }
  });

  it('lets go of a model that nobody has any more', async () => {
    const ended = await run(
      `
      const { defineModel, ops } = await import(${compiled('index.js')});
      const use = async () => {
        const model = defineModel({
          name: 'large', latentShape: [1, 1, 1],
          trainable: { a: Tensor.from(new Float32Array(1_000_000), [1_000_000]) },
          velocity: (z, t, c, { parameters }) => ops.mul(z, ops.mean(parameters.a)),
        });
        const conditioning = await model.encode(['a']);
        const z = Tensor.from([3], [1, 1, 1, 1]);
        const velocity = await model.native.velocity(z, Float32Array.of(0.5), conditioning, false);
        for (const value of [velocity, ...conditioning, model]) value.dispose();
      };
      const before = binding().tensorMemory().bytes;
      for (let i = 0; i < 5; i++) await use();
      for (let i = 0; i < 5; i++) { globalThis.gc(); await sleep(10); }
      console.log((binding().tensorMemory().bytes - before) / 4e6 < 1);
    `,
      { args: ['--expose-gc'] },
    );
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: 'true\n', stderr: '' });
  });
});

const slow = (inside: string) => `
  const { defineModel, ops } = await import(${compiled('index.js')});
  const model = defineModel({
    name: 'slow', latentShape: [1, 1, 1], trainable: { a: Tensor.from([2], []) },
    velocity: (z, t, c, { parameters }) => { ${inside}; return ops.mul(z, parameters.a); },
  });
  const z = Tensor.from([3], [1, 1, 1, 1]);
  const work = async () => model.native.velocity(z, Float32Array.of(0.5), await model.encode(['a']), false);
`;

describe('a process that ends while a function is recorded', () => {
  it('has its own exit code', async () => {
    const ended = await run(`${slow('process.exit(7)')} await work();`);
    expect(ended).toMatchObject({ code: 7, signal: null, stderr: '' });
  });

  it('ends while the native thread waits for a busy one', async () => {
    const ended = await run(
      `${slow('')} void work(); await Promise.resolve(); for (let i = 0; i < 1e8; i++); process.exit(8);`,
    );
    expect(ended).toMatchObject({ code: 8, signal: null, stderr: '' });
  });

  it('ends on an error that nobody catches', async () => {
    const ended = await run(`${slow("throw new Error('on purpose')")} await work();`);
    expect(ended).toMatchObject({ code: 1, signal: null });
    expect(ended.stderr).toContain('velocity of "slow": on purpose');
  });

  it('ends a worker in the middle of its function', async () => {
    const script = JSON.stringify(`${imports} ${slow('parentPort.postMessage(1); while (true);')} await work();`);
    const ended = await run(`
      const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(${script})));
      await once(worker, 'message');
      console.log(await worker.terminate());
    `);
    expect(ended).toMatchObject({ code: 0, signal: null, stdout: '1\n', stderr: '' });
  });
});
