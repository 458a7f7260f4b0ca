import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { CancelledError, ConfigError, ShapeError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { NativeTensor } from '../../lib/runtime/native/binding.js';
import { hold } from '../helpers/executor.js';
import { adamW, adaptedModel, eamOptions, floats, normal, takeGradients, tinyModel } from '../helpers/tiny-model.js';
import { batch, denoiserFactor, eam, iterate, rollOut, shape, tensor, values } from '../helpers/eam-iteration.js';

describe('EAM with numbers that are not finite', () => {
  const reference = async (kept: number[]) => {
    // The kept samples' share: the same iteration with their gradients alone, averaged over them.
    const model = await adaptedModel();
    const { metrics } = await iterate(model);
    return kept.reduce((sum, b) => sum + metrics.perSample[b]!, 0) / kept.length;
  };

  it.each([
    { what: 'a reward that is not a number', spoiled: 'reward', value: NaN },
    { what: 'an infinite reward', spoiled: 'reward', value: Infinity },
    { what: 'a gradient that is not a number', spoiled: 'gradient', value: NaN },
    { what: 'an infinite gradient', spoiled: 'gradient', value: -Infinity },
  ])('drops the sample of $what and averages over the others', async ({ spoiled, value }) => {
    const model = await adaptedModel();
    const rewards = new Float32Array(batch);
    const grad = await floats(await normal(shape, 8n));
    const clean = await iterate(model, {}, rewards, tensor(grad));
    if (spoiled === 'reward') rewards[1] = value;
    else grad[64 + 7] = value;
    const { metrics, gradients } = await iterate(model, {}, rewards, tensor(grad));
    expect(metrics.dropped).toBe(1);
    expect(metrics.perSample[1]).toBeNaN();
    expect(metrics.loss / (await reference([0, 2, 3, 4]))).toBeCloseTo(1, 4);
    for (const b of [0, 2, 3, 4]) expect(metrics.perSample[b]! / clean.metrics.perSample[b]!).toBeCloseTo(1, 4);
    expect(Object.values(gradients).flat().every(Number.isFinite)).toBe(true);
    expect(metrics.backwards).toBe(4 * eamOptions.renoisings);
  });

  it('leaves no gradient at all when every sample is dropped', async () => {
    const model = await adaptedModel();
    const algorithm = eam(model);
    const metrics = await algorithm.accumulate(
      await rollOut(algorithm),
      new Float32Array(batch).fill(NaN),
      await normal(shape, 8n),
      new (binding().Cancellation)(),
    );
    expect(metrics).toMatchObject({ loss: 0, dropped: batch, backwards: 0, rewardGradientNorm: 0 });
    await expect(adamW(model).step(0.1, 1)).rejects.toThrow(/no parameter has a gradient/);
  });

  it('drops every sample whose loss overflows, and reaches no weight', async () => {
    const model = await adaptedModel();
    const huge = (await floats(await normal(shape, 8n))).map((value, i) => (i < 64 ? 1e30 * value : value));
    const algorithm = eam(model);
    const metrics = await algorithm.accumulate(
      await rollOut(algorithm),
      values,
      tensor(huge),
      new (binding().Cancellation)(),
    );
    expect(metrics.dropped).toBe(1);
    expect(metrics.perSample[0]).toBeNaN();
    expect(
      Object.values(await takeGradients(model))
        .flat()
        .every(Number.isFinite),
    ).toBe(true);
  });
});

describe('the clipping of reward gradients at the running quantile', () => {
  it('scales outliers to it and keeps the norms for the next iteration', async () => {
    const model = await adaptedModel();
    const algorithm = eam(model, { rewardGradientQuantile: 0.5 });
    const ones = tensor(new Array(batch * 64).fill(1));
    const accumulate = async (grad: NativeTensor) =>
      algorithm.accumulate(await rollOut(algorithm), values, grad, new (binding().Cancellation)());
    expect((await accumulate(ones)).clipped).toBe(0);
    expect(algorithm.state()['rewardGradientNorms']).toHaveLength(batch);
    for (const norm of algorithm.state()['rewardGradientNorms']!) expect(norm).toBeCloseTo(4 * denoiserFactor(0.1), 5);

    const outlier = tensor(Array.from({ length: batch * 64 }, (_, i) => (i < 64 ? 1000 : 1)));
    const clipped = await accumulate(outlier);
    expect(clipped.clipped).toBe(1);
    const unclipped = await accumulate(ones);
    expect(clipped.perSample[0]! / unclipped.perSample[0]!).toBeCloseTo(1, 3);
  });

  it('goes on from its saved state, which holds the last 512 norms', async () => {
    const model = await adaptedModel();
    const algorithm = eam(model, { rewardGradientQuantile: 0.5 });
    algorithm.load({ rewardGradientNorms: Array.from({ length: 600 }, (_, i) => i / 600) });
    expect(algorithm.state()['rewardGradientNorms']).toHaveLength(512);
    const { clipped } = await algorithm.accumulate(
      await rollOut(algorithm),
      values,
      await normal(shape, 8n),
      new (binding().Cancellation)(),
    );
    expect(clipped).toBe(batch);
    expect(() => algorithm.load({ rewardGradientNorms: [1, NaN] })).toThrow();
    expect(() => algorithm.load({ norms: [1] })).toThrow(ConfigError);
  });
});

describe('EAM', () => {
  it('stops between evaluations when cancelled', async () => {
    const model = await adaptedModel();
    // Steps for many minutes.
    const algorithm = eam(model, { steps: 2_000_000, microBatch: 1 });
    const cancellation = new (binding().Cancellation)();
    const release = hold();
    const rollout = rollOut(algorithm, { cancellation });
    await release(); // the rollout begins
    await sleep(50);
    cancellation.cancel();
    await expect(rollout).rejects.toThrow(CancelledError);
    const other = eam(model);
    await expect(other.accumulate(await rollOut(other), values, await normal(shape, 8n), cancellation)).rejects.toThrow(
      CancelledError,
    );
  });

  it.each([
    { change: { C: 0.5 }, message: /^Eam: C: expected a number above 0\.5, got 0\.5$/ },
    { change: { delta: 0 }, message: /^Eam: delta: expected a number above 0, got 0$/ },
    { change: { steps: 0 }, message: /^Eam: steps: expected a number of at least 1, got 0$/ },
    { change: { renoisings: 0 }, message: /^Eam: renoisings: expected a number of at least 1, got 0$/ },
    {
      change: { rewardGradientQuantile: 0 },
      message: /^Eam: rewardGradientQuantile: expected a number above 0, got 0$/,
    },
    {
      change: { solver: 'rk4' as never },
      message: /^Eam: solver: expected one of "euler", "heun", "midpoint", "dpmpp2m", got "rk4"$/,
    },
    {
      change: { terminal: 'plugin' as const, rewardThroughDenoiser: true },
      message: /rewardThroughDenoiser: expected false, or the terminal "consistent": .*got true/,
    },
  ])('rejects $change', async ({ change, message }) => {
    const model = await adaptedModel();
    expect(() => eam(model, change)).toThrow(ConfigError);
    expect(() => eam(model, change)).toThrow(message);
  });

  it('rejects a model without an adapter, and gradients of another shape', async () => {
    const plain = await tinyModel();
    expect(() => eam(plain)).toThrow(/load it with an adapter/);
    const algorithm = eam(await adaptedModel());
    const accumulate = async (rewards: Float32Array, grad: NativeTensor) =>
      algorithm.accumulate(await rollOut(algorithm), rewards, grad, new (binding().Cancellation)());
    await expect(accumulate(values, await normal([batch, 1, 8, 7], 1n))).rejects.toThrow(ShapeError);
    await expect(accumulate(new Float32Array(2), await normal(shape, 1n))).rejects.toThrow(
      /rewardValues: expected one entry for each of the 5 images, got 2/,
    );
  });
});
