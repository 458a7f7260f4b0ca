// Normals, coefficients and the matching loss of every entry of vectors/eam.json through the TypeScript surface.
import { describe, expect, it } from 'vitest';

import { coefficients, matchingLoss, philoxNormal, renoise, terminalGradient } from '../../lib/runtime/kernels.js';
import { binding } from '../../lib/runtime/native/index.js';
import { OdeSolver } from '../../lib/runtime/ode-solver.js';
import type { DType } from '../../lib/runtime/native/tensor.js';
import { expectClose, expectRounded, numbersOf, type Rows, rounded, tensorOf } from '../helpers/numbers.js';
import { halves, precise, vectors } from '../helpers/vectors.js';

const flat = (rows: Rows): number[] => rows.flat();

describe('Philox4x32-10', () => {
  it.each(vectors.philox)('gives the words of counter $counter, key $key', ({ counter, key, output }) => {
    expect([...binding().philoxWords(Uint32Array.from(counter), Uint32Array.from(key))]).toEqual(output);
  });

  describe.each(vectors.normals)('philoxNormal of seed $seed, stream $stream', ({ seed, stream, values }) => {
    const generator = { seed: BigInt(seed), stream: BigInt(stream) };

    it.each(precise)('gives the reference normals in %s', async (dtype, tolerance) => {
      expectClose(await numbersOf(await philoxNormal([values.length], { ...generator, dtype })), values, tolerance);
    });

    it.each(halves)('rounds the reference normals to %s', async (dtype) => {
      expectRounded(await numbersOf(await philoxNormal([values.length], { ...generator, dtype })), values, dtype);
    });

    it('numbers each sample of a stream a sample from its start', async () => {
      const other = vectors.normals.find((entry) => entry.seed === seed)!;
      const both = await philoxNormal([2, values.length], {
        seed: BigInt(seed),
        stream: [BigInt(other.stream), 5n],
        dtype: 'float64',
      });
      const second = await philoxNormal([values.length], { seed: BigInt(seed), stream: 5n, dtype: 'float64' });
      expectClose(await numbersOf(both), [...values, ...(await numbersOf(second))], 1e-12);
    });
  });
});

describe('coefficients', () => {
  it.each(vectors.coefficients)('give the reference values at t = $t, C = $C', (entry) => {
    const found = coefficients(entry['t']!, entry['C']!);
    const expected = {
      kappa: entry['kappa']!,
      Q: entry['Q']!,
      baseDrift: entry['base_drift']!,
      sigma2: entry['sigma2']!,
      baseVelocity: entry['base_velocity']!,
      adjointScale: entry['adjoint_scale']!,
      targetX: entry['target_x']!,
      targetX1: entry['target_x1']!,
      targetG: entry['target_g']!,
    };
    expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, value] of Object.entries(expected)) {
      // Where 2Ct ≈ 1 cancels, what is left has the error of its terms.
      const scale = Math.max(Math.abs(value), 1 / expected.Q);
      expect(
        Math.abs(found[name as keyof typeof found] - value) <= 1e-12 * scale,
        `${name}: ${found[name as keyof typeof found]} against ${value}`,
      ).toBe(true);
    }
  });
});

describe.each(vectors.matching)('matchingLoss, $terminal terminal, C = $C', (entry) => {
  const { t, C, lam: lambda, delta } = entry;
  const endpoint = (entry.x1 ?? entry.y)!;
  const rewardGrad = (entry.reward_grad ?? entry.reward_grad_y)!;
  const terminalTime = entry.terminal === 'plugin' ? 1 : 1 - delta;
  const weightings = (['velocity', 'adjoint_matching'] as const).filter((name) => entry.loss[name] !== undefined);
  const size = t.length * endpoint[0]!.length;

  const gradientOf = async (dtype: DType, strength: number) =>
    terminalGradient({
      x: await tensorOf(endpoint, dtype),
      velocity: await tensorOf(entry.v_pretrained_terminal, dtype),
      rewardGrad: await tensorOf(rewardGrad, dtype),
      lambda: strength,
      time: 1 - delta,
    });
  const lossOf = async (dtype: DType, weighting: 'velocity' | 'adjoint_matching', velocity: Rows) =>
    matchingLoss({
      velocity: await tensorOf(velocity, dtype),
      x1: await tensorOf(endpoint, dtype),
      terminalGradient: await tensorOf(entry.G, dtype),
      t,
      C,
      noise: await tensorOf(entry.eps, dtype),
      weighting,
      terminalTime,
    });
  // ∂loss/∂v = 2(v − v̂)/size with weight 1: at v = 0 it shows the target.
  const targetOf = async (dtype: DType) =>
    (
      await numbersOf(
        (
          await lossOf(
            dtype,
            'velocity',
            entry.v.map((row) => row.map(() => 0)),
          )
        ).grad,
      )
    ).map((value) => (-value * size) / 2);

  it.each(precise)('gives the reference values in %s', async (dtype, tolerance) => {
    expectClose(await numbersOf(await gradientOf(dtype, lambda)), flat(entry.G), tolerance, 'G');
    expectClose(await numbersOf(await gradientOf(dtype, 0)), flat(entry.terminal_score), tolerance, 'terminal score');
    const xt = await numbersOf(
      await renoise({ x1: await tensorOf(endpoint, dtype), t, noise: await tensorOf(entry.eps, dtype), terminalTime }),
    );
    expectClose(xt, flat(entry.x_t), tolerance, 'x_t');
    expectClose(await targetOf(dtype), flat(entry.target), tolerance, 'target');
    for (const weighting of weightings) {
      const { loss, perSample, grad } = await lossOf(dtype, weighting, entry.v);
      expectClose([loss], [entry.loss[weighting]!], tolerance, `${weighting} loss`);
      expectClose(await numbersOf(grad), flat(entry.grad_v[weighting]!), tolerance, `${weighting} gradient`);
      // Float32Array by contract.
      if (entry.per_sample)
        expectClose(
          [...perSample],
          entry.per_sample[weighting]!,
          Math.max(tolerance, 2 ** -24),
          `${weighting} per sample`,
        );
      expectClose(
        [perSample.reduce((sum, value) => sum + value, 0) / t.length],
        [entry.loss[weighting]!],
        Math.max(tolerance, 2 ** -23),
        'mean of perSample',
      );
    }
    if (entry.target_score) {
      const target = await targetOf(dtype);
      const score = target.map((value, index) => {
        const time = t[Math.floor(index / endpoint[0]!.length)]!;
        return (time * value - xt[index]!) / (1 - time);
      });
      // The test's own subtraction costs a digit.
      expectClose(score, flat(entry.target_score), 10 * tolerance, 'target score');
    }
    if (entry.x1_hat) {
      const velocity = await tensorOf(entry.v_pretrained_terminal, dtype);
      const step = new OdeSolver({ solver: 'euler', times: [1 - delta, 1] });
      expectClose(
        await numbersOf(await step.run(() => velocity, await tensorOf(endpoint, dtype))),
        flat(entry.x1_hat),
        tolerance,
        'x̂_1',
      );
    }
  });

  it('scales the adjoint as the base process does', () => {
    if (!entry.adjoint_terminal) {
      expect(entry.terminal).toBe('consistent'); // only the plug-in reading has an adjoint at time 1
      return;
    }
    const scales = t.map((time) => coefficients(time, C).adjointScale);
    const { kappa } = coefficients(t[0]!, C);
    expectClose(
      endpoint.flatMap((row, i) => row.map((x, j) => -entry.G[i]![j]! - x / kappa)),
      flat(entry.adjoint_terminal),
      1e-12,
    );
    expectClose(
      entry.adjoint_terminal.flatMap((row, i) => row.map((a) => a * scales[i]!)),
      flat(entry.adjoint_t!),
      1e-12,
    );
  });

  it.each(halves)('rounds what it gives for rounded inputs to %s', async (dtype) => {
    const exact = async (rows: Rows) => rounded(rows, dtype);
    expectRounded(
      await numbersOf(await gradientOf(dtype, lambda)),
      await numbersOf(
        await terminalGradient({
          x: await exact(endpoint),
          velocity: await exact(entry.v_pretrained_terminal),
          rewardGrad: await exact(rewardGrad),
          lambda,
          time: 1 - delta,
        }),
      ),
      dtype,
      'G',
    );
    expectRounded(
      await numbersOf(
        await renoise({
          x1: await tensorOf(endpoint, dtype),
          t,
          noise: await tensorOf(entry.eps, dtype),
          terminalTime,
        }),
      ),
      await numbersOf(await renoise({ x1: await exact(endpoint), t, noise: await exact(entry.eps), terminalTime })),
      dtype,
      'x_t',
    );
    for (const weighting of weightings) {
      const found = await lossOf(dtype, weighting, entry.v);
      const reference = await matchingLoss({
        velocity: await exact(entry.v),
        x1: await exact(endpoint),
        terminalGradient: await exact(entry.G),
        t,
        C,
        noise: await exact(entry.eps),
        weighting,
        terminalTime,
      });
      expect(found.grad.dtype).toBe(dtype);
      expectRounded(await numbersOf(found.grad), await numbersOf(reference.grad), dtype, `${weighting} gradient`);
      expectClose([found.loss], [reference.loss], 1e-5, `${weighting} loss`); // not stored in the half type
      expectClose([...found.perSample], [...reference.perSample], 1e-5, `${weighting} per sample`);
    }
  });
});
