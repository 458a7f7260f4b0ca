// Solvers and the steps of Adjoint Matching of every entry of vectors/eam.json through the TypeScript surface.
import { describe, it } from 'vitest';

import { leanAdjointStep, memorylessStep } from '../../lib/runtime/kernels.js';
import { OdeSolver } from '../../lib/runtime/ode-solver.js';
import type { DType, Tensor } from '../../lib/runtime/native/tensor.js';
import { expectClose, expectRounded, numbersOf, rounded, tensorOf, unitRoundoff } from '../helpers/numbers.js';
import { halves, precise, vectors } from '../helpers/vectors.js';

/** sin(3x)(1−t) + 0.5xt − 0.2, the vectors' velocity field. */
const field = (x: number, t: number): number => Math.sin(3 * x) * (1 - t) + 0.5 * x * t - 0.2;
const slope = (x: number, t: number): number => 3 * Math.cos(3 * x) * (1 - t) + 0.5 * t;

const velocityAs = (dtype: DType) => async (x: Tensor, t: number) =>
  tensorOf(
    (await numbersOf(x)).map((value) => field(value, t)),
    dtype,
  );

describe.each(vectors.solvers)('OdeSolver with $solver', ({ solver, times, x0, states }) => {
  const stateAfter = async (steps: number, dtype: DType) =>
    numbersOf(
      await new OdeSolver({ solver, times: times.slice(0, steps + 1) }).run(
        velocityAs(dtype),
        await tensorOf(x0, dtype),
      ),
    );

  it.each(precise)('gives the reference states in %s', async (dtype, tolerance) => {
    for (const [index, expected] of states.entries())
      expectClose(await stateAfter(index + 1, dtype), expected, tolerance, `after step ${index + 1}`);
  });

  it.each(halves)('gives the reference states, rounded in every step, in %s', async (dtype) => {
    for (const [index, expected] of states.entries()) {
      // Each step stores x, a second x or a data prediction, and velocities.
      expectClose(
        await stateAfter(index + 1, dtype),
        expected,
        3 * (index + 2) * unitRoundoff[dtype],
        `after step ${index + 1}`,
      );
    }
  });
});

describe('the steps of Adjoint Matching', () => {
  const { steps, lam: lambda, x0, noise, states, adjoints, loss_per_step: losses } = vectors.adjoint_matching;
  const h = 1 / steps;
  const times = Array.from({ length: steps }, (_, step) => step * h);
  const tuned = (x: number, t: number): number => field(x, t) + 0.1 * Math.cos(x);
  const points = [x0, ...states];

  it.each(precise)('give the reference states by memorylessStep in %s', async (dtype, tolerance) => {
    let x = await tensorOf(x0, dtype);
    for (const [step, t] of times.entries()) {
      const velocity = await tensorOf(
        (await numbersOf(x)).map((value) => tuned(value, t)),
        dtype,
      );
      x = await memorylessStep({ x, velocity, t, h, noise: await tensorOf(noise[step]!, dtype) });
      expectClose(await numbersOf(x), states[step]!, tolerance, `after step ${step + 1}`);
    }
  });

  it.each(precise)('give the reference adjoints and losses by leanAdjointStep in %s', async (dtype, tolerance) => {
    let adjoint = await tensorOf(
      points[steps]!.map((x) => -lambda * Math.tanh(x)),
      dtype,
    );
    for (const step of [...times.keys()].reverse()) {
      const t = times[step]!;
      const vjp = await tensorOf(
        (await numbersOf(adjoint)).map((a, index) => a * slope(points[step]![index]!, t)),
        dtype,
      );
      adjoint = await leanAdjointStep({ adjoint, vjp, t, h });
      const a = await numbersOf(adjoint);
      expectClose(a, adjoints[step]!, tolerance, `adjoint at ${t}`);
      const sigma = Math.sqrt((2 * (1 - t + h)) / (t + h));
      const residuals = points[step]!.map((x, index) => (2 / sigma) * (tuned(x, t) - field(x, t)) + sigma * a[index]!);
      const loss = residuals.reduce((sum, value) => sum + value ** 2, 0) / residuals.length;
      // A square: twice the adjoint's relative error.
      expectClose([loss], [losses[step]!], 10 * tolerance, `loss at ${t}`);
    }
  });

  it.each(halves)('round what they give for rounded inputs in %s', async (dtype) => {
    for (const [step, t] of times.entries()) {
      const velocity = points[step]!.map((x) => tuned(x, t));
      expectRounded(
        await numbersOf(
          await memorylessStep({
            x: await tensorOf(points[step]!, dtype),
            velocity: await tensorOf(velocity, dtype),
            t,
            h,
            noise: await tensorOf(noise[step]!, dtype),
          }),
        ),
        await numbersOf(
          await memorylessStep({
            x: await rounded(points[step]!, dtype),
            velocity: await rounded(velocity, dtype),
            t,
            h,
            noise: await rounded(noise[step]!, dtype),
          }),
        ),
        dtype,
        `memorylessStep at ${t}`,
      );
      expectRounded(
        await numbersOf(
          await leanAdjointStep({
            adjoint: await tensorOf(adjoints[step]!, dtype),
            vjp: await tensorOf(velocity, dtype),
            t,
            h,
          }),
        ),
        await numbersOf(
          await leanAdjointStep({
            adjoint: await rounded(adjoints[step]!, dtype),
            vjp: await rounded(velocity, dtype),
            t,
            h,
          }),
        ),
        dtype,
        `leanAdjointStep at ${t}`,
      );
    }
  });
});
