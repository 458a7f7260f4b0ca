// The kernels' synchronous twins: the same bits on the calling thread, no threads of their own, and no half-written
// input.
import { readdirSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import * as kernels from '../../lib/runtime/kernels.js';
import { OdeSolver } from '../../lib/runtime/ode-solver.js';
import { type DType, Tensor } from '../../lib/runtime/native/tensor.js';

const noise = { seed: 1n, stream: 1n };
const perSample = { seed: 1n, stream: [4n, 5n, 6n] };

type Run = (name: string, options: object) => unknown;
const runAsync: Run = (name, options) => (kernels as unknown as Record<string, (o: object) => unknown>)[name]!(options);
const runSync: Run = (name, options) =>
  (kernels as unknown as Record<string, (o: object) => unknown>)[`${name}Sync`]!(options);

async function everyKernel(run: Run, shape: number[], dtype: DType): Promise<unknown[]> {
  const normal = (stream: bigint) => kernels.philoxNormal(shape, { seed: 3n, stream, dtype });
  const [x, velocity, other] = [await normal(1n), await normal(2n), await normal(3n)];
  const t = [0.1, 0.5, 0.8];
  const results = [
    await run('renoise', { x1: x, t, noise: perSample, terminalTime: 0.9 }),
    await run('terminalGradient', { x, velocity, rewardGrad: other, lambda: 2, time: 0.9 }),
    await run('matchingLoss', {
      velocity,
      x1: x,
      terminalGradient: other,
      t,
      C: 1,
      noise,
      weighting: 'adjoint_matching',
    }),
    await run('flowMatchingLoss', { velocity, x1: x, noise: other }),
    await run('memorylessStep', { x, velocity, t: 0.5, h: 0.1, noise }),
    await run('leanAdjointStep', { adjoint: x, vjp: other, t: 0.5, h: 0.1 }),
  ] as (Tensor | kernels.MatchingLoss)[];
  return results.map((result) =>
    result instanceof Tensor ? bits(result) : [result.loss, result.perSample, bits(result.grad)],
  );
}

function bits(tensor: Tensor): string {
  const { buffer, byteOffset, byteLength } = tensor.dataSync();
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

describe('a synchronous call', () => {
  it.each<{ dtype: DType; size: number }>([
    { dtype: 'float32', size: 5 },
    { dtype: 'float64', size: 1037 },
    { dtype: 'bfloat16', size: 700 },
    { dtype: 'float32', size: 40_000 },
  ])('gives the bits that the asynchronous one gives, $dtype [3, $size]', async ({ dtype, size }) => {
    expect(await everyKernel(runSync, [3, size], dtype)).toEqual(await everyKernel(runAsync, [3, size], dtype));
  });

  it('draws what philoxNormal draws', async () => {
    const options = { ...noise, dtype: 'float64' } as const;
    expect(kernels.philoxNormalSync([5, 7], options).dataSync()).toEqual(
      await (await kernels.philoxNormal([5, 7], options)).data(),
    );
  });

  it('does not wait for calls made before', async () => {
    let settled = false;
    const queued = kernels.philoxNormal([20_000_000], noise).then(() => (settled = true));
    const x1 = Tensor.from([1, 2, 3], [1, 3]);
    expect([...kernels.renoiseSync({ x1, t: [1], noise }).dataSync()]).toEqual([1, 2, 3]);
    expect(settled).toBe(false);
    await queued;
  });

  it('refuses a tensor that an unfinished call writes to', async () => {
    const out = Tensor.from(new Float32Array(3), [1, 3]);
    const blocker = kernels.philoxNormal([40_000_000], noise); // keeps the queue busy
    const call = kernels.philoxNormal(out.shape, { ...noise, out });
    const attempts = {
      input: () => kernels.renoiseSync({ x1: out, t: [1], noise }),
      output: () => kernels.philoxNormalSync(out.shape, { ...noise, out }),
      noise: () => kernels.renoiseSync({ x1: Tensor.from([1, 2, 3], out.shape), t: [1], noise: out }),
      data: () => out.dataSync(),
      solver: () => new OdeSolver({ solver: 'euler', times: [0, 1] }).runSync((x) => x, out),
    };
    for (const [what, attempt] of Object.entries(attempts)) {
      expect(attempt, what).toThrow(ConfigError);
      expect(attempt, what).toThrow(/has not finished; await that call/);
    }
    await Promise.all([blocker, call]);
    expect(() => attempts.input()).not.toThrow();
  });

  it('throws what its twin rejects with, under its own name', () => {
    const x1 = Tensor.from([1, 2, 3], [1, 3]);
    expect(() => kernels.renoiseSync({ x1, t: [2], noise })).toThrow(/^renoiseSync: t\[0\]/);
    expect(() => kernels.renoiseSync({ x1, t: [1], noise, seed: 1n } as never)).toThrow(
      /^renoiseSync: seed: unknown key; known keys: x1, /,
    );
    expect(() => kernels.matchingLossSync({} as never)).toThrow(
      /^matchingLossSync: velocity: expected a Tensor, got undefined/,
    );
    expect(() => kernels.philoxNormalSync([3], { ...noise, device: 'cuda:77' })).toThrow(ConfigError);
  });

  it.runIf(process.platform === 'linux')('starts no threads, however large its input', async () => {
    await kernels.philoxNormal([2_000_000], noise); // whatever the executor's own first call starts
    const threads = () => readdirSync('/proc/self/task').length;
    const before = threads();
    const x1 = kernels.philoxNormalSync([4, 500_000], noise);
    kernels.renoiseSync({ x1, t: [0.1, 0.2, 0.3, 0.4], noise });
    await new OdeSolver({ solver: 'heun', times: [0, 0.5, 1] }).runSync((x) => x, x1);
    expect(threads()).toBe(before);
  });
});

describe('OdeSolver.runSync', () => {
  const times = [0, 0.25, 0.6, 1];
  const field = (x: Tensor, t: number) => kernels.renoiseSync({ x1: x, t: [t, t], noise: { seed: 2n, stream: 8n } });

  it.each(['euler', 'heun', 'midpoint', 'dpmpp2m'] as const)('gives the bits that run gives, %s', async (solver) => {
    const solve = new OdeSolver({ solver, times });
    const x0 = kernels.philoxNormalSync([2, 50], noise);
    const away = (x: Tensor) => kernels.leanAdjointStepSync({ adjoint: x, vjp: x, t: 0.5, h: 0.2 });
    for (const guided of [{}, { unconditional: away, guidance: 2 }]) {
      expect(solve.runSync(field, x0, guided).dataSync()).toEqual((await solve.run(field, x0, guided)).dataSync());
    }
  });

  it('passes on what a velocity throws, and refuses what it cannot use', () => {
    const solve = new OdeSolver({ solver: 'euler', times });
    const x0 = Tensor.from([1, 2], [2, 1]);
    const failure = new Error('no network');
    expect(() =>
      solve.runSync(() => {
        throw failure;
      }, x0),
    ).toThrow(failure);
    expect(() => solve.runSync(field, x0, { guidance: 2 })).toThrow(/`guidance` needs/);
    expect(() => solve.runSync(() => Promise.resolve(x0) as never, x0)).toThrow(
      /what `velocity` returned: expected a Tensor/,
    );
  });
});
