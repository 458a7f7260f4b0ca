// Whose memory a tensor is: typed arrays and SharedArrayBuffers without a copy, results in memory of the caller's, and
// nothing used after it is gone.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

import { describe, expect, it } from 'vitest';

import { ConfigError, DisposedError, ShapeError } from '../../lib/errors.js';
import {
  flowMatchingLoss,
  leanAdjointStep,
  matchingLoss,
  memorylessStep,
  philoxNormal,
  renoise,
  terminalGradient,
} from '../../lib/runtime/kernels.js';
import { OdeSolver } from '../../lib/runtime/ode-solver.js';
import { type DType, Tensor, type TypedArray } from '../../lib/runtime/native/tensor.js';
import { hold } from '../helpers/executor.js';
import { collectAll, collectedUntil } from '../helpers/garbage.js';

const shape = [2, 3];
const noise = { seed: 1n, stream: 1n };
const normal = (stream: bigint) => philoxNormal(shape, { seed: 2n, stream });
const shared = (length: number) => new Float32Array(new SharedArrayBuffer(4 * length));

describe('a SharedArrayBuffer', () => {
  it.each<{ dtype: DType; array: TypedArray }>([
    { dtype: 'float32', array: new Float32Array(new SharedArrayBuffer(8)) },
    { dtype: 'float64', array: new Float64Array(new SharedArrayBuffer(16)) },
    { dtype: 'int64', array: new BigInt64Array(new SharedArrayBuffer(16)) },
    { dtype: 'bfloat16', array: new Uint16Array(new SharedArrayBuffer(4)) },
  ])('is shared, not copied: $dtype', async ({ dtype, array }) => {
    const tensor = Tensor.from(array, [2], { dtype });
    expect(await tensor.data()).toBe(array);
    expect(tensor.dataSync()).toBe(array);
  });

  it('shows a tensor what another thread writes', async () => {
    const array = shared(6);
    const tensor = Tensor.from(array, shape);
    const worker = new Worker(`require('node:worker_threads').workerData.fill(3)`, { eval: true, workerData: array });
    await once(worker, 'exit');
    expect([...(await (await tensor.to({ dtype: 'float64' })).data())]).toEqual([3, 3, 3, 3, 3, 3]);
  });

  it('takes results, which another thread reads there', async () => {
    const array = shared(6);
    const out = Tensor.from(array, shape);
    await philoxNormal(shape, { seed: 2n, stream: 5n, out });
    const worker = new Worker(
      `const { workerData, parentPort } = require('node:worker_threads'); parentPort.postMessage([...workerData])`,
      { eval: true, workerData: array },
    );
    const [seen] = await once(worker, 'message');
    expect(seen).toEqual([...(await (await normal(5n)).data())]);
  });

  it('is copied where it can grow', async () => {
    const growable = new (
      SharedArrayBuffer as unknown as new (
        size: number,
        options: { maxByteLength: number },
      ) => SharedArrayBuffer
    )(8, { maxByteLength: 16 });
    const array = new Float32Array(growable);
    array.set([1, 2]);
    const tensor = Tensor.from(array, [2]);
    array.fill(0);
    expect([...(await tensor.data())]).toEqual([1, 2]);
  });

  it.each([1, 2, 3])('can be viewed from its number %s on', async (first) => {
    const array = shared(40);
    const t = [0.2, 0.6];
    for (let i = 0; i < array.length; ++i) array[i] = Math.sin(i);
    const view = array.subarray(first, first + 34);
    const copy = Tensor.from(view.slice(), [2, 17]);
    const viewed = await renoise({ x1: Tensor.from(view, [2, 17]), t, noise });
    expect([...(await viewed.data())]).toEqual([...(await (await renoise({ x1: copy, t, noise })).data())]);
  });
});

// Each kernel, called once for a new tensor and once into memory of the caller's.
const kernels: Record<string, (given?: Tensor) => Promise<Tensor>> = {
  philoxNormal: (out) => philoxNormal(shape, { ...noise, out }),
  renoise: async (out) => renoise({ x1: await normal(1n), t: [0.2, 0.6], noise, out }),
  terminalGradient: async (out) =>
    terminalGradient({
      x: await normal(1n),
      velocity: await normal(2n),
      rewardGrad: await normal(3n),
      lambda: 2,
      time: 0.9,
      out,
    }),
  memorylessStep: async (out) =>
    memorylessStep({ x: await normal(1n), velocity: await normal(2n), t: 0.5, h: 0.1, noise, out }),
  leanAdjointStep: async (out) =>
    leanAdjointStep({ adjoint: await normal(1n), vjp: await normal(2n), t: 0.5, h: 0.1, out }),
  matchingLoss: async (grad) =>
    (
      await matchingLoss({
        velocity: await normal(1n),
        x1: await normal(2n),
        terminalGradient: await normal(3n),
        t: [0.2, 0.6],
        C: 1,
        noise,
        grad,
      })
    ).grad,
  flowMatchingLoss: async (grad) =>
    (await flowMatchingLoss({ velocity: await normal(1n), x1: await normal(2n), noise, grad })).grad,
};

describe.each(Object.entries(kernels))("%s into the caller's memory", (name, kernel) => {
  const option = name.endsWith('Loss') ? 'grad' : 'out';

  it('gives the same numbers there, and the same Tensor back', async () => {
    const array = new Float32Array(6);
    const given = Tensor.from(array, shape);
    expect(await kernel(given)).toBe(given);
    expect([...array]).toEqual([...(await (await kernel()).data())]);
  });

  it.each([
    {
      what: 'another shape',
      make: () => Tensor.from(new Float32Array(6), [3, 2]),
      type: ShapeError,
      message: 'expected shape .*, got \\[3, 2\\]',
    },
    { what: 'another dtype', make: () => Tensor.from(new Float64Array(6), shape), type: ShapeError, message: 'dtype' },
    {
      what: 'no tensor',
      make: () => new Float32Array(6) as unknown as Tensor,
      type: ShapeError,
      message: 'expected a Tensor',
    },
  ])('refuses $what', async ({ make, type, message }) => {
    await expect(kernel(make())).rejects.toThrow(type);
    await expect(kernel(make())).rejects.toThrow(new RegExp(`^${name}: .*${option}.*${message}`));
  });

  it('refuses a disposed tensor', async () => {
    const given = Tensor.from(new Float32Array(6), shape);
    given.dispose();
    await expect(kernel(given)).rejects.toThrow(DisposedError);
  });
});

describe('the output of a call', () => {
  it('may be one of its inputs', async () => {
    const expected = [...(await (await kernels['leanAdjointStep']!()).data())];
    const [adjoint, vjp] = [await normal(1n), await normal(2n)];
    expect([...(await (await leanAdjointStep({ adjoint, vjp, t: 0.5, h: 0.1, out: vjp })).data())]).toEqual(expected);

    const loss = [...(await (await kernels['matchingLoss']!()).data())];
    const velocity = await normal(1n);
    await matchingLoss({
      velocity,
      x1: await normal(2n),
      terminalGradient: await normal(3n),
      t: [0.2, 0.6],
      C: 1,
      noise,
      grad: velocity,
    });
    expect([...(await velocity.data())]).toEqual(loss);
  });

  it('is refused where it is a part of an input', async () => {
    const array = new Float32Array(8);
    const x1 = Tensor.from(array.subarray(0, 6), shape);
    await expect(renoise({ x1, t: [0.2, 0.6], noise, out: Tensor.from(array.subarray(2, 8), shape) })).rejects.toThrow(
      /out.*overlaps x1/,
    );
    const doubles = new Float64Array(array.buffer, 0, 3);
    await expect(
      renoise({ x1: Tensor.from(doubles, [1, 3]), t: [0.2], noise, out: Tensor.from(doubles, [1, 3]) }),
    ).resolves.toBeDefined();
    await expect(
      flowMatchingLoss({
        velocity: Tensor.from(new Float32Array(array.buffer, 0, 3), [1, 3]),
        x1: Tensor.from(doubles, [1, 3]),
        noise,
        grad: Tensor.from(new Float32Array(array.buffer, 0, 3), [1, 3]),
      }),
    ).rejects.toThrow(/grad.*overlaps x1/);
  });

  it('is refused where the solver or another tensor holds it', async () => {
    const solver = new OdeSolver({ solver: 'euler', times: [0, 0.5, 1] });
    await expect(solver.run((x) => renoise({ x1: x, t: [0.2, 0.6], noise, out: x }), await normal(1n))).rejects.toThrow(
      /out cannot be written to/,
    );
    const tensor = await normal(1n);
    const same = await tensor.to({ dtype: 'float32' });
    await expect(philoxNormal(shape, { ...noise, out: same })).rejects.toThrow(ConfigError);
  });

  it('can be one tensor for every velocity of a solver', async () => {
    const out = Tensor.from(new Float32Array(6), shape);
    const field = (given?: Tensor) => async (x: Tensor, t: number) => renoise({ x1: x, t: [t, t], noise, out: given });
    for (const solver of ['euler', 'heun', 'midpoint', 'dpmpp2m'] as const) {
      const solve = new OdeSolver({ solver, times: [0, 0.3, 0.6, 0.9] });
      const expected = await solve.run(field(), await normal(1n));
      expect([...(await (await solve.run(field(out), await normal(1n))).data())], solver).toEqual([
        ...(await expected.data()),
      ]);
    }
  });

  it('has its numbers when data() resolves, also without the call awaited', async () => {
    const array = new Float32Array(2_000_000);
    const out = Tensor.from(array, [array.length]);
    const call = philoxNormal([array.length], { ...noise, out });
    expect((await out.data())[array.length - 1]).not.toBe(0);
    await call;
  });

  it('is let go when the call fails', async () => {
    const out = Tensor.from(new Float32Array(6), shape);
    await expect(renoise({ x1: await normal(1n), t: [2, 2], noise, out })).rejects.toThrow(ConfigError);
    expect(out.dataSync()).toHaveLength(6);
  });
});

describe('a typed array that a tensor shares', () => {
  it('lives as long as its tensor, and no longer', async () => {
    let freed = 0;
    const registry = new FinalizationRegistry(() => ++freed);
    const make = () => {
      const array = Float32Array.of(1, 2, 3);
      registry.register(array.buffer, undefined);
      return Tensor.from(array, [3]);
    };
    const tensor = make();
    await collectAll();
    expect(freed).toBe(0);
    expect([...(await (await tensor.to({ dtype: 'float64' })).data())]).toEqual([1, 2, 3]);
    tensor.dispose();
    expect(await collectedUntil(() => freed === 1)).toBe(true);
  });

  it('lives while a call that its disposed tensor was given to runs', async () => {
    let freed = 0;
    const registry = new FinalizationRegistry(() => ++freed);
    const release = hold();
    const running = (() => {
      const array = new Float32Array(100_000).fill(1);
      registry.register(array.buffer, undefined);
      const x1 = Tensor.from(array, [1, 100_000]);
      const running = renoise({ x1, t: [1], noise });
      x1.dispose();
      return running;
    })();
    await collectAll();
    expect(freed).toBe(0);
    await release();
    const result = await running;
    expect((await result.data()).every((value) => value === 1)).toBe(true);
    expect(await collectedUntil(() => freed === 1)).toBe(true);
  });

  it('is refused, as input and as output, once it was transferred', async () => {
    const make = () => {
      const array = new Float32Array(6);
      const tensor = Tensor.from(array, shape);
      structuredClone(array, { transfer: [array.buffer] });
      return tensor;
    };
    await expect(renoise({ x1: make(), t: [0.2, 0.6], noise })).rejects.toThrow(DisposedError);
    await expect(philoxNormal(shape, { ...noise, out: make() })).rejects.toThrow(/transferred/);
    expect(() => make().dataSync()).toThrow(DisposedError);
    expect(() => make().dataPointer).toThrow(DisposedError);
    expect(() => make().toDLPack()).toThrow(DisposedError);
  });
});
