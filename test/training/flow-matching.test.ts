import { describe, expect, it } from 'vitest';

import { Purpose, RandomStream, streamOf } from '../../lib/runtime/random.js';
import { CancelledError, ConfigError, ShapeError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { NativeFlowModel, NativeTensor } from '../../lib/runtime/native/binding.js';
import {
  adamW,
  floats,
  labels,
  largestRelativeError,
  normal,
  relativeError,
  snapshot,
  takeGradients,
  tinyModel,
} from '../helpers/tiny-model.js';

const seed = 21n;
const shape = [4, 1, 8, 8];
const asked = [0, 1, 2, 0];
const streams = (step: number, purpose: number) =>
  BigUint64Array.from({ length: 4 }, (_, sample) => streamOf(step, sample, purpose));

const run = async (
  model: NativeFlowModel,
  change: Partial<Parameters<ReturnType<typeof binding>['flowMatching']>[1]> = {},
) =>
  binding().flowMatching(model, {
    x1: await normal(shape, 5n),
    conditioning: labels(...asked),
    unconditional: labels(3),
    dropout: 0,
    timeDistribution: 'uniform',
    seed,
    step: 6,
    cancellation: new (binding().Cancellation)(),
    ...change,
  });

/** What one step should use, composed from single kernels. */
async function composed(model: NativeFlowModel, t: Float32Array, conditioning: NativeTensor[]) {
  const x1 = await normal(shape, 5n);
  const noise = { seed, stream: streams(6, Purpose.renoise) };
  const velocity = await model.velocity(await binding().renoise({ x1, t, noise }), t, conditioning, false);
  return binding().flowMatchingLoss({ velocity, x1, noise });
}

describe('flow matching', () => {
  it('regresses onto x₁ − ε at stratified uniform times', async () => {
    const model = await tinyModel();
    const t = Float32Array.from(
      { length: 4 },
      (_, b) => (b + new RandomStream(seed, streamOf(6, b, Purpose.time)).uniform()) / 4,
    );
    const expected = await composed(model, t, labels(...asked));
    const { loss, perSample } = await run(model);
    expect(loss / expected.loss).toBeCloseTo(1, 5);
    expect(relativeError(perSample, expected.perSample)).toBeLessThan(1e-5);
  });

  it('regresses at several times of each sample, one in each equal part of the distribution', async () => {
    const model = await tinyModel();
    // Row 4 r + b is the r-th time of sample b.
    const t = Float32Array.from(
      { length: 12 },
      (_, row) => (row + new RandomStream(seed, streamOf(6, row, Purpose.time)).uniform()) / 12,
    );
    const stream = BigUint64Array.from({ length: 12 }, (_, row) => streamOf(6, row, Purpose.renoise));
    const x = (await floats(await normal(shape, 5n))).slice();
    const x1 = binding().Tensor.from(Float32Array.from([...x, ...x, ...x]), [12, 1, 8, 8]);
    const noise = { seed, stream };
    const conditioning = labels(...asked, ...asked, ...asked);
    const velocity = await model.velocity(await binding().renoise({ x1, t, noise }), t, conditioning, false);
    const expected = await binding().flowMatchingLoss({ velocity, x1, noise });
    const { loss, perSample } = await run(model, { timesEach: 3 });
    expect(loss / expected.loss).toBeCloseTo(1, 5);
    const means = asked.map((_, b) => [0, 4, 8].reduce((sum, first) => sum + expected.perSample[first + b]! / 3, 0));
    expect(relativeError(perSample, means)).toBeLessThan(1e-5);
  });

  it('gives the same gradient in evaluations of any size', async () => {
    const gradients = async (microBatch: number) => {
      const model = await tinyModel();
      const { loss, perSample } = await run(model, { timesEach: 3, dropout: 0.4, microBatch });
      return { loss, perSample: Array.from(perSample), gradients: await takeGradients(model) };
    };
    const whole = await gradients(0);
    for (const size of [1, 5, 12]) {
      const parts = await gradients(size);
      expect(parts.loss / whole.loss).toBeCloseTo(1, 5);
      expect(relativeError(parts.perSample, whole.perSample)).toBeLessThan(1e-5);
      expect(largestRelativeError(parts.gradients, whole.gradients)).toBeLessThan(1e-4);
    }
  });

  it('draws logit-normal times where asked: fewer near the ends', async () => {
    const model = await tinyModel();
    // Quantiles of the standard normal at the strata's ends bound each time.
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    const quartile = 0.6744897501960817;
    const bounds = [0, sigmoid(-quartile), 0.5, sigmoid(quartile), 1];
    const { perSample } = await run(model, { timeDistribution: 'logit_normal' });
    const at = async (fraction: number) =>
      (
        await composed(
          model,
          Float32Array.from({ length: 4 }, (_, b) => bounds[b]! + fraction * (bounds[b + 1]! - bounds[b]!)),
          labels(...asked),
        )
      ).perSample;
    const uniform = (await run(model)).perSample;
    expect(relativeError(perSample, uniform)).toBeGreaterThan(1e-3);
    // Somewhere in its stratum each sample's loss is met.
    const curve: Float32Array[] = [];
    for (let i = 0; i <= 200; i++) curve.push(await at(i / 200));
    for (let b = 0; b < 4; b++) {
      const nearest = Math.min(...curve.map((losses) => Math.abs(losses[b]! - perSample[b]!)));
      expect(nearest / perSample[b]!).toBeLessThan(0.02);
    }
  });

  it('accumulates the gradient of the loss', async () => {
    const model = await tinyModel();
    const { loss } = await run(model);
    const gradients = await takeGradients(model);
    const weights = await snapshot(model.weights());
    const norm = Math.hypot(...Object.values(gradients).flat());
    const moved = async (step: number) => {
      const target = model.weights();
      await model.load(
        'weights',
        Object.fromEntries(
          Object.entries(weights).map(([name, values]) => [
            name,
            binding().Tensor.from(
              Float32Array.from(values, (value, i) => value + (step * gradients[name]![i]!) / norm),
              target[name]!.shape,
            ),
          ]),
        ),
      );
      const result = await run(model);
      await takeGradients(model);
      return result.loss;
    };
    const slope = ((await moved(1e-3)) - (await moved(-1e-3))) / 2e-3;
    expect(slope / norm).toBeCloseTo(1, 2);
    expect(await moved(0)).toBe(loss);
  });

  it('drops the conditioning with the given probability, and always at 1', async () => {
    const model = await tinyModel();
    const unconditional = await run(model, { conditioning: labels(3) });
    const conditional = await run(model);
    const dropped = await run(model, { dropout: 1 });
    expect(dropped.perSample).toEqual(unconditional.perSample);
    const half = await run(model, { dropout: 0.5 });
    const threshold = Array.from({ length: 4 }, (_, b) => new RandomStream(seed, streamOf(6, b, 5)).uniform() < 0.5);
    expect(Array.from(half.perSample)).toEqual(
      threshold.map((drop, b) => (drop ? unconditional : conditional).perSample[b]),
    );
  });

  it('depends on seed and step alone, not on the number of threads', async () => {
    const results: unknown[] = [];
    const threads = await binding().threads();
    for (const count of [1, 2, 1]) {
      await binding().setThreads(count);
      const model = await tinyModel();
      const optimizer = adamW(model, { emaDecay: 0.9 });
      const losses: number[] = [];
      for (let step = 0; step < 3; step++) {
        losses.push((await run(model, { step, dropout: 0.3 })).loss);
        await optimizer.step(1e-2, 1);
      }
      results.push({ losses, weights: await snapshot(model.weights()) });
    }
    await binding().setThreads(threads);
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it('accumulates over several batches', async () => {
    const model = await tinyModel();
    await run(model, { step: 0 });
    const first = await takeGradients(model);
    await run(model, { step: 1 });
    const second = await takeGradients(model);
    await run(model, { step: 0 });
    await run(model, { step: 1 });
    const sum = Object.fromEntries(
      Object.entries(first).map(([name, values]) => [name, values.map((value, i) => value + second[name]![i]!)]),
    );
    expect(largestRelativeError(await takeGradients(model), sum)).toBeLessThan(1e-4);
  });

  it('rejects bad arguments and stops when cancelled', async () => {
    const model = await tinyModel();
    await expect(run(model, { dropout: 1.5 })).rejects.toThrow(ConfigError);
    await expect(run(model, { conditioning: labels(0, 1) })).rejects.toThrow(ShapeError);
    await expect(run(model, { timeDistribution: 'normal' as 'uniform' })).rejects.toThrow(
      /timeDistribution: expected one of "uniform", "logit_normal", got "normal"/,
    );
    const cancellation = new (binding().Cancellation)();
    cancellation.cancel();
    await expect(run(model, { cancellation })).rejects.toThrow(CancelledError);
  });
});

describe('sampling', () => {
  const draw = async (model: NativeFlowModel, change: object = {}) => {
    const { latents, forwards } = await binding().sample(model, {
      conditioning: labels(...asked),
      guidance: 1,
      solver: 'heun',
      times: [0, 0.25, 0.5, 1],
      shape,
      seed,
      firstSample: 0,
      weights: 'trained',
      cancellation: new (binding().Cancellation)(),
      ...change,
    });
    return { latents: await floats(latents), forwards };
  };

  it('gives each sample its own noise, whatever the batch', async () => {
    const model = await tinyModel();
    const { latents, forwards } = await draw(model);
    expect(forwards).toBe(4 * 5);
    const tail = await draw(model, { conditioning: labels(2, 0), shape: [2, 1, 8, 8], firstSample: 2 });
    expect(relativeError(tail.latents, latents.slice(2 * 64))).toBeLessThan(1e-5);
  });

  it('applies guidance: u + g (c − u)', async () => {
    const model = await tinyModel();
    const one = { solver: 'euler', times: [0, 1] };
    const conditional = (await draw(model, one)).latents;
    const unconditional = (await draw(model, { ...one, conditioning: labels(3) })).latents;
    const guided = await draw(model, { ...one, guidance: 2.5, unconditional: labels(3) });
    expect(guided.forwards).toBe(8);
    expect(
      relativeError(
        guided.latents,
        conditional.map((c, i) => unconditional[i]! + 2.5 * (c - unconditional[i]!)),
      ),
    ).toBeLessThan(1e-5);
    await expect(draw(model, { guidance: 2 })).rejects.toThrow(
      /guidance: expected 1 without an unconditional conditioning, got 2/,
    );
  });

  it.each([
    { change: { solver: 'rk4' }, message: /solver.*expected one of "euler", "heun", "midpoint", "dpmpp2m", got "rk4"/ },
    { change: { times: [0, 0.5, 0.5, 1] }, message: /strictly increasing/ },
    { change: { times: [0, 1.5] }, message: /times\[1\]: expected a number of at most 1, got 1\.5/ },
    { change: { shape: [0, 1, 8, 8] }, message: /at least one sample/ },
    {
      change: { shape: [3, 1, 8, 8] },
      message: /conditioning\[0\]: expected 3 samples \(or one for all\) in its first dimension, got shape \[4\]/,
    },
    { change: { weights: 'other' }, message: /weights: expected one of "trained", "pretrained", got "other"/ },
  ])('rejects $change', async ({ change, message }) => {
    await expect(draw(await tinyModel(), change)).rejects.toThrow(message);
  });
});
