// Each argument of each kernel, wrong in each way: the error has the right class, names the function and the argument.
import { describe, expect, it } from 'vitest';

import { ConfigError, DisposedError, type EamError, ShapeError } from '../../lib/errors.js';
import {
  coefficients,
  flowMatchingLoss,
  leanAdjointStep,
  matchingLoss,
  memorylessStep,
  philoxNormal,
  renoise,
  terminalGradient,
} from '../../lib/runtime/kernels.js';
import { binding } from '../../lib/runtime/native/index.js';
import { OdeSolver } from '../../lib/runtime/ode-solver.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';

const good = (shape = [2, 3]) => Tensor.from(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const noise = { seed: 1n, stream: 1n };

type Arguments = Record<string, unknown>;
interface Kernel {
  run: (options: never) => Promise<unknown>;
  options: () => Arguments;
  /** Tensors that must all have one shape; the first sets it. */
  tensors: string[];
  /** Numbers and what is outside their range. */
  numbers: Record<string, number[]>;
}

const kernels: Record<string, Kernel> = {
  renoise: {
    run: renoise,
    options: () => ({ x1: good(), t: [0.2, 0.6], noise, terminalTime: 0.9 }),
    tensors: ['x1'],
    numbers: { terminalTime: [0, -0.5, 1.5] },
  },
  terminalGradient: {
    run: terminalGradient,
    options: () => ({ x: good(), velocity: good(), rewardGrad: good(), lambda: 1, time: 0.9 }),
    tensors: ['x', 'velocity', 'rewardGrad'],
    numbers: { lambda: [], time: [1, 1.1, -0.1] },
  },
  matchingLoss: {
    run: matchingLoss,
    options: () => ({
      velocity: good(),
      x1: good(),
      terminalGradient: good(),
      t: [0.2, 0.6],
      C: 1,
      noise,
      weighting: 'velocity',
      cap: 20,
      terminalTime: 0.9,
    }),
    tensors: ['velocity', 'x1', 'terminalGradient'],
    numbers: { C: [0.5, 0.25, -1], cap: [0, -1], terminalTime: [0, 1.5] },
  },
  flowMatchingLoss: {
    run: flowMatchingLoss,
    options: () => ({ velocity: good(), x1: good(), noise }),
    tensors: ['velocity', 'x1'],
    numbers: {},
  },
  memorylessStep: {
    run: memorylessStep,
    options: () => ({ x: good(), velocity: good(), t: 0.5, h: 0.1, noise }),
    tensors: ['x', 'velocity'],
    numbers: { t: [-0.1, 1, 0.95], h: [0, -0.1, 0.6] },
  },
  leanAdjointStep: {
    run: leanAdjointStep,
    options: () => ({ adjoint: good(), vjp: good(), t: 0.5, h: 0.1 }),
    tensors: ['adjoint', 'vjp'],
    numbers: { t: [-0.1, 1, 0.95], h: [0, -0.1, 0.6] },
  },
};

async function rejection(kernel: Kernel, changes: Arguments): Promise<EamError> {
  try {
    await kernel.run({ ...kernel.options(), ...changes } as never);
  } catch (error) {
    return error as EamError;
  }
  throw new Error(
    `accepted ${JSON.stringify(changes, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))}`,
  );
}

describe.each(Object.entries(kernels))('the kernel %s', (name, kernel) => {
  const expectError = async (changes: Arguments, type: new (...args: never[]) => Error, key: string) => {
    const error = await rejection(kernel, changes);
    expect(error, error.message).toBeInstanceOf(type);
    expect(error.message).toMatch(new RegExp(`^${name}: .*${key}`));
  };

  it('accepts the arguments that the other tests change', async () => {
    await expect(kernel.run(kernel.options() as never)).resolves.toBeDefined();
  });

  it('rejects what is no options object, and misspelt options', async () => {
    for (const wrong of [undefined, null, 3, 'x', [], new Float32Array(2)])
      await expect(kernel.run(wrong as never)).rejects.toThrow(ConfigError);
    await expectError({ nosie: 1 }, ConfigError, 'nosie');
  });

  it.each(kernel.tensors)('rejects a wrong `%s`', async (key) => {
    for (const wrong of [undefined, null, 3, [1, 2], new Float32Array(6), { shape: [2, 3] }])
      await expectError({ [key]: wrong }, ShapeError, key);
    const disposed = good();
    disposed.dispose();
    await expectError({ [key]: disposed }, DisposedError, key);
    for (const dtype of ['int32', 'int64'] as const)
      await expectError({ [key]: Tensor.from([1, 2, 3, 4, 5, 6], [2, 3], { dtype }) }, ShapeError, key);
    await expectError({ [key]: Tensor.from([1], []) }, ShapeError, key);
    await expectError({ [key]: good([0, 3]) }, ShapeError, '');
    if (kernel.tensors.length > 1) {
      for (const shape of [[2, 4], [3, 3], [6], [2, 3, 1]]) await expectError({ [key]: good(shape) }, ShapeError, '');
    }
  });

  it.each(Object.entries(kernel.numbers))('rejects a wrong `%s`', async (key, outside) => {
    for (const wrong of [null, '1', NaN, Infinity, 1n, [1], ...outside])
      await expectError({ [key]: wrong }, ConfigError, key);
  });

  const options = kernel.options();
  it.each(Array.isArray(options['t']) ? ['t'] : [])('rejects a wrong `%s`', async () => {
    for (const wrong of [
      undefined,
      0.5,
      '0.5',
      null,
      new Uint8Array(2),
      [0.5, '0.5'],
      [0.5, NaN],
      [0.5, -0.01],
      [0.5, 1.01],
      new Float32Array([0.5, 7]),
    ]) {
      await expectError({ t: wrong }, ConfigError, 't');
    }
    for (const wrong of [[], [0.5], [0.1, 0.2, 0.3], new Float32Array(3), new Float64Array(1)]) {
      const error = await rejection(kernel, { t: wrong });
      expect(error).toBeInstanceOf(ShapeError);
      expect(error.message).toBe(
        `${name}: t: expected a Float32Array or number[] with one entry a sample (2), got length ${wrong.length}`,
      );
    }
    await expectError({ t: [0.2, 0.95] }, ConfigError, 't'); // past terminalTime 0.9
  });

  it.each('noise' in options ? ['noise'] : [])('rejects wrong %s', async () => {
    for (const wrong of [
      undefined,
      null,
      3n,
      {},
      { seed: 1n },
      { stream: 1n },
      { seed: 1, stream: 1n },
      { seed: 1n, stream: 1 },
      { seed: -1n, stream: 1n },
      { seed: 2n ** 64n, stream: 1n },
      { seed: 1n, stream: [1n, 2] },
      { seed: 1n, stream: 1n, steam: 2n },
    ])
      await expectError({ noise: wrong }, ConfigError, 'noise');
    for (const wrong of [
      { seed: 1n, stream: [1n, 2n, 3n] },
      { seed: 1n, stream: [] },
      { seed: 1n, stream: new BigUint64Array(3) },
      good([2, 4]),
      Tensor.from([1, 2, 3, 4, 5, 6], [2, 3], { dtype: 'int32' }),
    ]) {
      await expectError({ noise: wrong }, ShapeError, 'noise');
    }
    const disposed = good();
    disposed.dispose();
    await expectError({ noise: disposed }, DisposedError, 'noise');
  });
});

describe('matchingLoss', () => {
  it('rejects an unknown weighting', async () => {
    const error = await rejection(kernels['matchingLoss']!, { weighting: 'uniform' });
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toBe(
      'matchingLoss: weighting: expected one of "velocity", "adjoint_matching", got "uniform"',
    );
  });
});

describe('coefficients', () => {
  it.each([
    { args: [-0.1, 1], message: /: t: expected a time in \[0, 1\], got -0\.1$/ },
    { args: [1.1, 1], message: /: t: expected a time in \[0, 1\], got 1\.1$/ },
    { args: [NaN, 1], message: /: t: expected .*, got NaN/ },
    { args: ['0.5', 1], message: /: t: expected .*, got "0\.5"/ },
    { args: [0.5, 0.5], message: /: C: expected a finite number above 0\.5, got 0\.5$/ },
    { args: [0.5, 0], message: /: C: expected a finite number above 0\.5, got 0$/ },
    { args: [0.5, Infinity], message: /: C: expected .*, got Infinity/ },
    { args: [0.5], message: /: C: expected .*, but it is missing/ },
  ])('rejects $args', ({ args, message }) => {
    const call = () => (coefficients as (...args: unknown[]) => unknown)(...args);
    expect(call).toThrow(ConfigError);
    expect(call).toThrow(message);
  });
});

describe('philoxNormal', () => {
  it('offers the dtypes that noise may have', async () => {
    const error = await philoxNormal([2], { seed: 1n, stream: 0n, dtype: 'int32' }).then(
      () => undefined,
      (caught: Error) => caught,
    );
    expect(error).toBeInstanceOf(ConfigError);
    expect(error!.message).toBe(
      'philoxNormal: dtype: expected one of "float32", "float64", "bfloat16", "float16", got "int32"',
    );
  });

  it.each([
    { shape: [-1], options: noise, type: ShapeError },
    { shape: '2', options: noise, type: ConfigError },
    { shape: [2 ** 50, 2 ** 50], options: noise, type: ShapeError },
    { shape: [2], options: undefined, type: ConfigError },
    { shape: [2], options: { seed: 1n }, type: ConfigError },
    { shape: [2], options: { ...noise, dtype: 'int32' }, type: Error },
    { shape: [2], options: { ...noise, dtype: 'half' }, type: ConfigError },
    { shape: [2], options: { ...noise, device: 'tpu' }, type: ConfigError },
    { shape: [2, 2], options: { seed: 1n, stream: [1n, 2n, 3n] }, type: ShapeError },
  ])('rejects shape $shape, options $options', async ({ shape, options, type }) => {
    await expect(philoxNormal(shape as number[], options as never)).rejects.toThrow(type);
  });

  it('reports what does not fit into memory as OutOfMemoryError', async () => {
    await expect(philoxNormal([2 ** 46], noise)).rejects.toMatchObject({
      code: 'ERR_EAM_OUT_OF_MEMORY',
      message:
        'philoxNormal: not enough host memory for shape [70368744177664]: 281474976710656 bytes (262144.0 GiB) ' +
        'in one piece',
    });
  });
});

describe('OdeSolver', () => {
  it.each([
    { options: { solver: 'rk4', times: [0, 1] }, message: /euler.*heun.*midpoint.*dpmpp2m/ },
    { options: { solver: 'euler', times: [0] }, message: /times/ },
    { options: { solver: 'euler', times: [0, 0.5, 0.5] }, message: /times/ },
    { options: { solver: 'euler', times: [0.5, 0.1] }, message: /times/ },
    { options: { solver: 'euler', times: [0, 1.5] }, message: /times/ },
    { options: { solver: 'euler', times: [-0.5, 1] }, message: /times/ },
    { options: { solver: 'euler', times: [0, NaN] }, message: /times/ },
    { options: { solver: 'euler', times: 'all' }, message: /times/ },
    { options: { solver: 'euler' }, message: /times/ },
    { options: { times: [0, 1] }, message: /solver/ },
  ])('rejects $options', ({ options, message }) => {
    expect(() => new OdeSolver(options as never)).toThrow(ConfigError);
    expect(() => new OdeSolver(options as never)).toThrow(message);
  });

  it('rejects wrong states and velocities', async () => {
    const solver = new OdeSolver({ solver: 'heun', times: [0, 0.5, 1] });
    const disposed = good();
    disposed.dispose();
    await expect(solver.run((x) => x, 3 as never)).rejects.toThrow(ShapeError);
    await expect(solver.run((x) => x, disposed)).rejects.toThrow(DisposedError);
    await expect(solver.run(() => good([2, 4]), good())).rejects.toThrow(ShapeError);
    await expect(solver.run(() => disposed, good())).rejects.toThrow(DisposedError);
    await expect(solver.run(() => 3 as never, good())).rejects.toThrow(/what `velocity` returned/);
    await expect(solver.run((x) => x, good(), { unconditional: () => good([1]), guidance: 2 })).rejects.toThrow(
      ShapeError,
    );
    await expect(solver.run((x) => x, good(), { unconditional: (x) => x, guidance: NaN })).rejects.toThrow(ConfigError);
    await expect(solver.run((x) => x, Tensor.from([1, 2], [2], { dtype: 'int32' }))).rejects.toThrow(ShapeError);
  });
});

describe('setThreads', () => {
  it.each([0, -1, 1.5, 1e9, '2', undefined])('rejects %s', async (count) => {
    await expect(binding().setThreads(count as number)).rejects.toThrow(ConfigError);
  });
});

it("a kernel's error has no C++ type, file or backtrace in its message", async () => {
  const error = await rejection(kernels['matchingLoss']!, { x1: good([2, 4]) });
  expect(error.message).not.toMatch(/c10|at::|\.cpp|frame #/);
});
