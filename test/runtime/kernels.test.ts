// What holds beyond the reference vectors: gradients are gradients, generators equal stored noise, nothing depends on
// the number of threads.
import { afterAll, describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { flowMatchingLoss, matchingLoss, type Noise, philoxNormal, renoise } from '../../lib/runtime/kernels.js';
import { binding } from '../../lib/runtime/native/index.js';
import { OdeSolver, type Velocity } from '../../lib/runtime/ode-solver.js';
import { type DType, Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, expectRounded, numbersOf, tensorOf } from '../helpers/numbers.js';

const batch = 3;
const size = 1037; // no multiple of any vector width or block
const dtypes: DType[] = ['float64', 'float32', 'bfloat16', 'float16'];

let stream = 0n;
const normal = (dtype: DType = 'float64') => philoxNormal([batch, size], { seed: 11n, stream: ++stream, dtype });

describe('noise of a generator', () => {
  const seed = 0x1234_5678_9abc_def0n;
  const perSample = [3n, 2n ** 40n + 1n, 2n ** 64n - 1n];

  it.each(dtypes)('is what its stored normals are, %s', async (dtype) => {
    const x1 = await normal(dtype);
    const t = [0.1, 0.5, 1];
    for (const streams of [7n, perSample, BigUint64Array.from(perSample)]) {
      const generated = await renoise({ x1, t, noise: { seed, stream: streams } });
      // Stored in more digits than x1 where there are any: what a kernel draws in registers is not rounded to x1's
      // dtype.
      const exact = await renoise({
        x1: await x1.to({ dtype: 'float64' }),
        t,
        noise: await philoxNormal([batch, size], { seed, stream: streams, dtype: 'float64' }),
      });
      if (dtype === 'float16' || dtype === 'bfloat16')
        expectRounded(await numbersOf(generated), await numbersOf(exact), dtype);
      else expectClose(await numbersOf(generated), await numbersOf(exact), dtype === 'float64' ? 1e-14 : 1e-6);
    }
  });

  it('is standard normal, and streams are independent', async () => {
    const count = 1_000_000;
    const [a, b] = [
      await philoxNormal([count], { seed, stream: 1n }),
      await philoxNormal([count], { seed, stream: 2n }),
    ];
    const [x, y] = [await numbersOf(a), await numbersOf(b)];
    const mean = (value: (index: number) => number) => x.reduce((sum, _, index) => sum + value(index), 0) / count;
    const deviations = 5 / Math.sqrt(count); // five standard errors
    expect(Math.abs(mean((i) => x[i]!))).toBeLessThan(deviations);
    expect(Math.abs(mean((i) => x[i]! ** 2) - 1)).toBeLessThan(Math.SQRT2 * deviations);
    expect(Math.abs(mean((i) => x[i]! ** 4) - 3)).toBeLessThan(Math.sqrt(96) * deviations);
    expect(Math.abs(mean((i) => x[i]! * y[i]!))).toBeLessThan(deviations);
    expect(Math.abs(mean((i) => (i === 0 ? 0 : x[i]! * x[i - 1]!)))).toBeLessThan(deviations);
  });
});

describe('matchingLoss', () => {
  const noise: Noise = { seed: 5n, stream: [1n, 2n, 3n] };

  it.each([1, 0.9])('has the gradient of its loss, terminalTime %s', async (terminalTime) => {
    const t = [0, 0.4, 0.9];
    const [velocity, x1, terminalGradient, direction] = [
      await normal(),
      await normal(),
      await normal(),
      await normal(),
    ];
    const loss = (v: Tensor) =>
      matchingLoss({
        velocity: v,
        x1,
        terminalGradient,
        t,
        C: 0.8,
        noise,
        weighting: 'adjoint_matching',
        cap: 7,
        terminalTime,
      });
    const [v, d, grad] = [
      await numbersOf(velocity),
      await numbersOf(direction),
      await numbersOf((await loss(velocity)).grad),
    ];
    const moved = async (step: number) =>
      (
        await loss(
          Tensor.from(
            Float64Array.from(v, (value, i) => value + step * d[i]!),
            [batch, size],
          ),
        )
      ).loss;
    const slope = ((await moved(1e-3)) - (await moved(-1e-3))) / 2e-3; // exact but for rounding: the loss is quadratic
    expectClose([slope], [grad.reduce((sum, value, i) => sum + value * d[i]!, 0)], 1e-9);
  });

  it.each(dtypes)('is the same from x_t as from the noise it was made with, %s', async (dtype) => {
    const [velocity, x1, terminalGradient] = [await normal(dtype), await normal(dtype), await normal(dtype)];
    for (const terminalTime of [1, 0.9]) {
      const t = [0, 0.4, terminalTime];
      const common = { velocity, x1, terminalGradient, t, C: 0.8, terminalTime };
      const [drawn, read] = [
        await matchingLoss({ ...common, noise }),
        await matchingLoss({ ...common, x: await renoise({ x1, t, noise, terminalTime }) }),
      ];
      // Halves round x_t, which the network has read as it is.
      const tolerance = { float64: 1e-12, float32: 1e-5, float16: 5e-3, bfloat16: 4e-2 }[dtype as 'float64'];
      expectClose([...read.perSample], [...drawn.perSample], tolerance);
      expectClose(await numbersOf(read.grad), await numbersOf(drawn.grad), tolerance);
    }
    const both = { velocity, x1, terminalGradient, t: [0, 0.4, 0.9], C: 1, noise, x: x1 };
    await expect(matchingLoss(both)).rejects.toThrow(/x and noise: expected one of them, .*, got both/);
    await expect(matchingLoss({ ...both, x: undefined, noise: undefined })).rejects.toThrow(
      /x and noise: expected one of them, .*, got neither/,
    );
  });

  it('is finite at both ends of time', async () => {
    const [velocity, x1, terminalGradient] = [await normal(), await normal(), await normal()];
    for (const terminalTime of [1, 0.9]) {
      const { loss, grad } = await matchingLoss({
        velocity,
        x1,
        terminalGradient,
        t: [0, terminalTime, terminalTime / 2],
        C: 1,
        noise,
        terminalTime,
      });
      expect(Number.isFinite(loss)).toBe(true);
      expect((await numbersOf(grad)).every(Number.isFinite)).toBe(true);
    }
  });

  it('caps the weight of Adjoint Matching', async () => {
    const [velocity, x1, terminalGradient] = [await normal(), await normal(), await normal()];
    const t = [0.2, 0.5, 0.99];
    const options = { velocity, x1, terminalGradient, t, C: 1, noise };
    const plain = (await matchingLoss(options)).perSample;
    for (const cap of [1, 3]) {
      const weighted = (await matchingLoss({ ...options, weighting: 'adjoint_matching', cap })).perSample;
      expectClose(
        [...weighted],
        [...plain].map((value, i) => value * Math.min((2 * t[i]!) / (1 - t[i]!), cap)),
        1e-6,
      );
    }
  });

  it('takes t as any array of numbers', async () => {
    const [velocity, x1, terminalGradient] = [await normal(), await normal(), await normal()];
    const t = [0.25, 0.5, 0.75];
    const losses = [];
    for (const times of [t, Float32Array.from(t), Float64Array.from(t)]) {
      losses.push((await matchingLoss({ velocity, x1, terminalGradient, t: times, C: 1, noise })).loss);
    }
    expect(new Set(losses).size).toBe(1);
  });
});

describe('flowMatchingLoss', () => {
  it.each(dtypes)('is ‖v − (x1 − ε)‖², %s', async (dtype) => {
    const [velocity, x1, epsilon] = [await normal(dtype), await normal(dtype), await normal(dtype)];
    const { loss, perSample, grad } = await flowMatchingLoss({ velocity, x1, noise: epsilon });
    const [v, x, e] = [await numbersOf(velocity), await numbersOf(x1), await numbersOf(epsilon)];
    const residual = v.map((value, i) => value - (x[i]! - e[i]!));
    const gradient = residual.map((value) => (2 * value) / (batch * size));
    const tolerance = dtype === 'float64' ? 1e-12 : 1e-5;
    expectClose([loss], [residual.reduce((sum, value) => sum + value ** 2, 0) / (batch * size)], tolerance);
    expect(perSample).toHaveLength(batch);
    expect(grad.dtype).toBe(dtype);
    if (dtype === 'float16' || dtype === 'bfloat16') expectRounded(await numbersOf(grad), gradient, dtype);
    else expectClose(await numbersOf(grad), gradient, tolerance);
  });
});

describe('the number of threads', () => {
  let before = 0;
  afterAll(() => binding().setThreads(before));

  it('changes no bit of any result', async () => {
    before = await binding().threads();
    const [velocity, x1, terminalGradient] = [
      await normal('float32'),
      await normal('float32'),
      await normal('float32'),
    ];
    const results: unknown[] = [];
    for (const threads of [1, 2, 5]) {
      await binding().setThreads(threads);
      expect(await binding().threads()).toBe(threads);
      const noise: Noise = { seed: 3n, stream: 9n };
      const big = await philoxNormal([1_000_003], { seed: 3n, stream: 9n });
      const { loss, perSample, grad } = await matchingLoss({
        velocity,
        x1,
        terminalGradient,
        t: [0.1, 0.5, 0.8],
        C: 1,
        noise,
      });
      results.push([
        Buffer.from((await big.data()).buffer)
          .toString('base64')
          .slice(-4096),
        loss,
        [...perSample],
        await numbersOf(grad),
      ]);
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });
});

describe('OdeSolver', () => {
  const times = [0, 0.25, 0.5, 1];
  const linear: Velocity = async (x, t) => tensorOf((await numbersOf(x)).map((value) => value * t - 1));
  const constant: Velocity = async (x) => tensorOf((await numbersOf(x)).map(() => 0.5));
  const x0 = [0.3, -1, 2];

  it.each(['euler', 'heun', 'midpoint', 'dpmpp2m'] as const)('%s follows u + g (c − u)', async (solver) => {
    const run = async (velocity: Velocity, unconditional?: Velocity) =>
      numbersOf(
        await new OdeSolver({ solver, times }).run(
          velocity,
          await tensorOf(x0),
          unconditional && { unconditional, guidance: 3 },
        ),
      );
    const combined: Velocity = async (x, t) => {
      const [c, u] = [await numbersOf(await linear(x, t)), await numbersOf(await constant(x, t))];
      return tensorOf(u.map((value, i) => value + 3 * (c[i]! - value)));
    };
    expectClose(await run(linear, constant), await run(combined), 1e-13);
  });

  it.each(['heun', 'midpoint'] as const)('%s lets a velocity fill the same array each time', async (solver) => {
    const buffer = new Float64Array(3);
    const start = Float64Array.from(x0);
    const reusing: Velocity = async (x, t) => {
      buffer.set(await numbersOf(await linear(x, t)));
      start.fill(NaN); // x0's own array too
      return Tensor.from(buffer, [3]);
    };
    const solve = new OdeSolver({ solver, times });
    const expected = await numbersOf(await solve.run(linear, await tensorOf(x0)));
    expect(await numbersOf(await solve.run(reusing, Tensor.from(start, [3])))).toEqual(expected);
  });

  it('serves several runs at once', async () => {
    const solve = new OdeSolver({ solver: 'heun', times });
    const starts = [x0, x0.map((value) => 2 * value), x0.map((value) => -value)];
    const alone = [];
    for (const start of starts) alone.push(await numbersOf(await solve.run(linear, await tensorOf(start))));
    const together = await Promise.all(
      starts.map(async (start) => numbersOf(await solve.run(linear, await tensorOf(start)))),
    );
    expect(together).toEqual(alone);
  });

  it('asks for no more velocities than it says', async () => {
    for (const [solver, evaluations] of [
      ['euler', 3],
      ['heun', 5],
      ['midpoint', 6],
      ['dpmpp2m', 3],
    ] as const) {
      const at: number[] = [];
      const recorded = (x: Tensor, t: number) => {
        at.push(t);
        return linear(x, t);
      };
      await new OdeSolver({ solver, times }).run(recorded, await tensorOf(x0));
      expect(at, solver).toHaveLength(evaluations);
    }
  });

  it('stops between velocities once its signal is aborted, with the signal’s reason', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    let calls = 0;
    const aborting: Velocity = (x, t) => {
      if (++calls === 2) controller.abort(reason);
      return linear(x, t);
    };
    const solve = new OdeSolver({ solver: 'euler', times });
    await expect(solve.run(aborting, await tensorOf(x0), { signal: controller.signal })).rejects.toBe(reason);
    expect(calls).toBe(2);
    await expect(solve.run(aborting, await tensorOf(x0), { signal: controller.signal })).rejects.toBe(reason);
    expect(calls).toBe(2);
  });

  it('passes on what a velocity throws', async () => {
    const failure = new Error('no network');
    const solve = new OdeSolver({ solver: 'euler', times });
    await expect(solve.run(() => Promise.reject(failure), await tensorOf(x0))).rejects.toBe(failure);
    await expect(
      solve.run(
        () => {
          throw failure;
        },
        await tensorOf(x0),
      ),
    ).rejects.toBe(failure);
    await expect(solve.run(linear, await tensorOf(x0), { guidance: 2 })).rejects.toThrow(ConfigError);
  });
});
