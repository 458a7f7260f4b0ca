import { describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { NativeFlowModel } from '../../lib/runtime/native/binding.js';
import {
  adamW,
  floats,
  freshModel,
  labels,
  largestRelativeError,
  normal,
  snapshot,
  takeGradients,
  tinyLora,
  tinyModel,
} from '../helpers/tiny-model.js';

/** Adds up a gradient that is the same each time. */
const accumulate = async (model: NativeFlowModel, step = 0) =>
  binding().flowMatching(model, {
    x1: await normal([4, 1, 8, 8], 77n),
    conditioning: labels(0, 1, 2, 0),
    unconditional: labels(3),
    dropout: 0,
    timeDistribution: 'uniform',
    seed: 4n,
    step,
    cancellation: new (binding().Cancellation)(),
  });

describe('AdamW', () => {
  it('follows its closed form over two steps, with decay and clipping', async () => {
    const model = await tinyModel();
    const learningRate = 0.01;
    const maxNorm = 0.5;
    const beta1 = 0.8;
    const beta2 = 0.95;
    const epsilon = 1e-6;
    const weightDecay = 0.1;
    const optimizer = adamW(model, { betas: [beta1, beta2], epsilon, weightDecay });
    const expected = await snapshot(model.weights());
    const first: Record<string, number[]> = {};
    const second: Record<string, number[]> = {};
    for (const step of [1, 2]) {
      await accumulate(model, step);
      const gradients = await takeGradients(model);
      const norm = Math.sqrt(
        Object.values(gradients)
          .flat()
          .reduce((sum, value) => sum + value * value, 0),
      );
      expect(norm).toBeGreaterThan(maxNorm);
      for (const [name, gradient] of Object.entries(gradients)) {
        first[name] = gradient.map((g, i) => beta1 * (first[name]?.[i] ?? 0) + ((1 - beta1) * g * maxNorm) / norm);
        second[name] = gradient.map(
          (g, i) => beta2 * (second[name]?.[i] ?? 0) + (1 - beta2) * ((g * maxNorm) / norm) ** 2,
        );
        expected[name] = expected[name]!.map((p, i) => {
          const m = first[name]![i]! / (1 - beta1 ** step);
          const v = second[name]![i]! / (1 - beta2 ** step);
          return p * (1 - learningRate * weightDecay) - (learningRate * m) / (Math.sqrt(v) + epsilon);
        });
      }
      await accumulate(model, step);
      const { gradNorm, skipped } = await optimizer.step(learningRate, maxNorm);
      expect(gradNorm / norm).toBeCloseTo(1, 4);
      expect(skipped).toBe(false);
    }
    expect(optimizer.stepCount).toBe(2);
    expect(largestRelativeError(await snapshot(model.weights()), expected)).toBeLessThan(1e-4);
  });

  it('skips a step whose gradient is not finite, and clears it', async () => {
    const model = await tinyModel();
    const optimizer = adamW(model);
    const before = await snapshot(model.weights());
    const broken = binding().Tensor.from(
      Float32Array.from({ length: 64 }, () => NaN),
      [1, 1, 8, 8],
    );
    await binding().flowMatching(model, {
      x1: broken,
      conditioning: labels(0),
      unconditional: labels(3),
      dropout: 0,
      timeDistribution: 'uniform',
      seed: 4n,
      step: 0,
      cancellation: new (binding().Cancellation)(),
    });
    expect(await optimizer.step(0.1, 1)).toEqual({ gradNorm: NaN, skipped: true });
    expect(optimizer.stepCount).toBe(0);
    expect(await snapshot(model.weights())).toEqual(before);
    await accumulate(model);
    expect((await optimizer.step(0.1, 1)).skipped).toBe(false);
  });

  it('averages with a decay that warms up: min(decay, (1 + n)/(10 + n))', async () => {
    const model = await tinyModel(tinyLora);
    const optimizer = adamW(model, { emaDecay: 0.22 });
    let expected = await snapshot(model.trainable());
    for (const decay of [2 / 11, 0.22]) {
      await accumulate(model);
      await optimizer.step(0.05, 1);
      const trained = await snapshot(model.trainable());
      expected = Object.fromEntries(
        Object.entries(expected).map(([name, values]) => [
          name,
          values.map((value, i) => decay * value + (1 - decay) * trained[name]![i]!),
        ]),
      );
    }
    const state = await snapshot(optimizer.state());
    const averages = Object.fromEntries(Object.keys(expected).map((name) => [name, state[`ema.${name}`]!]));
    expect(largestRelativeError(averages, expected)).toBeLessThan(1e-5);
  });

  it('lends its averages to sampling and gives the trained weights back', async () => {
    const model = await tinyModel(tinyLora);
    const optimizer = adamW(model, { emaDecay: 0.9 });
    await accumulate(model);
    await optimizer.step(0.5, 1);
    const trained = await snapshot(model.trainable());
    const draw = async (average?: typeof optimizer) =>
      floats(
        (
          await binding().sample(model, {
            conditioning: labels(0),
            guidance: 1,
            solver: 'euler',
            times: [0, 0.5, 1],
            shape: [1, 1, 8, 8],
            seed: 1n,
            firstSample: 0,
            weights: 'trained',
            ...(average && { average }),
            cancellation: new (binding().Cancellation)(),
          })
        ).latents,
      );
    const averaged = await draw(optimizer);
    const plain = await draw();
    expect(averaged).not.toEqual(plain);
    expect(await snapshot(model.trainable())).toEqual(trained);

    const averages = await snapshot(optimizer.state());
    await model.load(
      'trainable',
      Object.fromEntries(
        Object.entries(model.trainable()).map(([name, tensor]) => [
          name,
          binding().Tensor.from(Float32Array.from(averages[`ema.${name}`]!), tensor.shape),
        ]),
      ),
    );
    expect(await draw()).toEqual(averaged);
    await expect(
      binding().sample(model, {
        conditioning: labels(0),
        guidance: 1,
        solver: 'euler',
        times: [0, 1],
        shape: [1, 1, 8, 8],
        seed: 1n,
        firstSample: 0,
        weights: 'trained',
        average: adamW(model),
        cancellation: new (binding().Cancellation)(),
      }),
    ).rejects.toThrow(/keeps no averaged weights/);
  });

  it('goes on from its saved state as if it had never stopped', async () => {
    const train = async (interrupted: boolean) => {
      let model = await tinyModel();
      let optimizer = adamW(model, { emaDecay: 0.9 });
      for (let step = 0; step < 4; step++) {
        if (interrupted && step === 2) {
          const [weights, state, count] = [model.weights(), optimizer.state(), optimizer.stepCount];
          model = await tinyModel();
          await model.load('weights', weights);
          optimizer = adamW(model, { emaDecay: 0.9 });
          await optimizer.load(state, count);
        }
        await accumulate(model, step);
        await optimizer.step(0.01, 1);
      }
      return {
        weights: await snapshot(model.weights()),
        state: await snapshot(optimizer.state()),
        count: optimizer.stepCount,
      };
    };
    expect(await train(true)).toEqual(await train(false));
  });

  it('rejects what it cannot use', async () => {
    const model = await tinyModel(tinyLora);
    expect(() => adamW(model, { betas: [1, 0.9] })).toThrow(/^AdamW: betas\[0\]: expected a number below 1, got 1$/);
    expect(() => adamW(model, { emaDecay: -0.1 })).toThrow(ConfigError);
    const half = freshModel({ dtype: 'bfloat16' });
    expect(() => adamW(half)).toThrow(/expected float32 .*, got BFloat16$/);
    const optimizer = adamW(model);
    await expect(optimizer.step(0.1, 1)).rejects.toThrow(/no parameter has a gradient/);
    await expect(optimizer.step(0.1, 0)).rejects.toThrow(
      /^step: maxNorm: expected a number above 0, or Infinity, got 0$/,
    );
    await expect(optimizer.load({}, 1)).rejects.toThrow(CheckpointError);
  });
});
