import { describe, expect, it } from 'vitest';

import { Purpose, RandomStream, streamOf } from '../../lib/runtime/random.js';
import { binding } from '../../lib/runtime/native/index.js';
import {
  adaptedModel,
  eamOptions,
  floats,
  freshModel,
  labels,
  largestRelativeError,
  normal,
  relativeError,
  tinyLora,
} from '../helpers/tiny-model.js';
import {
  asked,
  batch,
  denoiserFactor,
  iterate,
  seed,
  shape,
  step,
  tensor,
  terminalGradientOf,
  values,
} from '../helpers/eam-iteration.js';
import { slopeAlong } from '../helpers/gradient-check.js';

describe('the loss of EAM', () => {
  it.each(['consistent', 'plugin'] as const)('is that of the kernels at stratified times (%s)', async (terminal) => {
    const model = await adaptedModel();
    const { endpoint, metrics } = await iterate(model, { terminal, C: 0.8, lambda: 3 });
    const last = terminal === 'consistent' ? 0.9 : 1;
    const y = tensor(endpoint);
    const pretrained = await model.velocity(y, new Float32Array(batch).fill(0.9), labels(...asked), true);
    // images = (x + 1)/2: the gradient at the estimate is half of that at the images.
    const factor = terminal === 'consistent' ? denoiserFactor(0.1) : 1;
    const rewardGrad = await binding().weightedSum([await normal(shape, 8n)], [factor / 2]);
    const G = await binding().terminalGradient({ x: y, velocity: pretrained, rewardGrad, lambda: 3, time: 0.9 });

    const M = eamOptions.renoisings;
    const losses = new Float32Array(batch);
    for (let m = 0; m < M; m++) {
      const t = Float32Array.from(
        { length: batch },
        (_, b) => (last * (m + new RandomStream(seed, streamOf(step, b * M + m, Purpose.time)).uniform())) / M,
      );
      const noise = {
        seed,
        stream: BigUint64Array.from({ length: batch }, (_, b) => streamOf(step, b * M + m, Purpose.renoise)),
      };
      const velocity = await model.velocity(
        await binding().renoise({ x1: y, t, noise, terminalTime: last }),
        t,
        labels(...asked),
        false,
      );
      const { perSample } = await binding().matchingLoss({
        velocity,
        x1: y,
        terminalGradient: G,
        t,
        C: 0.8,
        noise,
        terminalTime: last,
      });
      for (let b = 0; b < batch; b++) losses[b]! += perSample[b]! / M;
    }
    expect(relativeError(metrics.perSample, losses)).toBeLessThan(1e-4);
    expect(metrics.loss / (losses.reduce((sum, loss) => sum + loss, 0) / batch)).toBeCloseTo(1, 4);

    const norms = (data: number[]) =>
      Array.from({ length: batch }, (_, b) => Math.hypot(...data.slice(64 * b, 64 * (b + 1))));
    const mean = (data: number[]) => data.reduce((sum, value) => sum + value, 0) / data.length;
    expect(metrics.rewardGradientNorm / mean(norms(await floats(rewardGrad)))).toBeCloseTo(1, 4);
    const score = await binding().terminalGradient({ x: y, velocity: pretrained, rewardGrad, lambda: 0, time: 0.9 });
    expect(metrics.scoreNorm / mean(norms(await floats(score)))).toBeCloseTo(1, 4);
  });

  it('has the gradient that its differences show', async () => {
    const model = await adaptedModel();
    const { endpoint, gradients } = await iterate(model);
    const y = tensor(endpoint);
    const pretrained = await model.velocity(y, new Float32Array(batch).fill(0.9), labels(...asked), true);
    const G = await terminalGradientOf(y, pretrained);
    const M = eamOptions.renoisings;
    const lossAt = async () => {
      let loss = 0;
      for (let m = 0; m < M; m++) {
        const t = Float32Array.from(
          { length: batch },
          (_, b) => (0.9 * (m + new RandomStream(seed, streamOf(step, b * M + m, Purpose.time)).uniform())) / M,
        );
        const noise = {
          seed,
          stream: BigUint64Array.from({ length: batch }, (_, b) => streamOf(step, b * M + m, Purpose.renoise)),
        };
        const velocity = await model.velocity(
          await binding().renoise({ x1: y, t, noise, terminalTime: 0.9 }),
          t,
          labels(...asked),
          false,
        );
        loss +=
          (await binding().matchingLoss({ velocity, x1: y, terminalGradient: G, t, C: 1, noise, terminalTime: 0.9 }))
            .loss / M;
      }
      return loss;
    };
    expect(await slopeAlong(model, gradients, lossAt)).toBeCloseTo(1, 2);
  });

  it('sends the reward through the denoiser where asked', async () => {
    const model = await adaptedModel();
    const delta = 0.5;
    const past = await iterate(model, { delta });
    const through = await iterate(model, { delta, rewardThroughDenoiser: true });
    expect(through.images).toEqual(past.images);
    expect(through.metrics.vjps).toBe(batch);
    // The Jacobian of the first sample's image, by differences, a pixel of its endpoint at a time.
    const upstream = (await floats(await normal(shape, 8n))).map((value, i) => (i < 64 ? value : 0));
    const h = 0.01;
    const moved = Array.from({ length: 128 }, (_, k) =>
      past.endpoint.slice(0, 64).map((value, i) => (i === k >> 1 ? value + (k % 2 ? -h : h) : value)),
    );
    const y = tensor(moved.flat(), [128, 1, 8, 8]);
    const velocity = await floats(
      await model.velocity(y, new Float32Array(128).fill(1 - delta), labels(...new Array(128).fill(0)), true),
    );
    const image = (k: number) => moved[k]!.map((value, i) => (value + delta * velocity[64 * k + i]!) / 2);
    const product = Array.from({ length: 64 }, (_, pixel) => {
      const [ahead, behind] = [image(2 * pixel), image(2 * pixel + 1)];
      return ahead.reduce((sum, value, i) => sum + (upstream[i]! * (value - behind[i]!)) / (2 * h), 0);
    });
    const norms = [
      (await iterate(model, { delta, rewardThroughDenoiser: true }, values, tensor(upstream))).metrics
        .rewardGradientNorm,
      (await iterate(model, { delta }, values, tensor(upstream))).metrics.rewardGradientNorm,
    ];
    expect((norms[0]! * batch) / Math.hypot(...product)).toBeCloseTo(1, 3);
    expect((norms[1]! * batch) / (Math.hypot(...upstream) / 2)).toBeCloseTo(denoiserFactor(delta), 5);
    expect(Math.abs(norms[0]! / norms[1]! - 1)).toBeGreaterThan(1e-2);
  });

  it.each([1, 2, 3, 100])('does not depend on the micro-batch (%d)', async (microBatch) => {
    const model = await adaptedModel();
    const whole = await iterate(model, { rewardThroughDenoiser: true });
    const split = await iterate(model, { rewardThroughDenoiser: true, microBatch });
    expect(relativeError(split.metrics.perSample, whole.metrics.perSample)).toBeLessThan(1e-4);
    expect(largestRelativeError(split.gradients, whole.gradients)).toBeLessThan(1e-3);
    for (const count of ['forwards', 'vjps', 'backwards'] as const)
      expect(split.metrics[count]).toBe(whole.metrics[count]);
  });

  it('repeats to the bit, and hardly depends on the number of threads', async () => {
    const threads = await binding().threads();
    const results = [];
    for (const count of [2, 2, 1]) {
      await binding().setThreads(count);
      results.push(await iterate(await adaptedModel(), { rewardThroughDenoiser: true }));
    }
    await binding().setThreads(threads);
    const [first, again, alone] = results;
    expect(again).toEqual(first);
    // The matrix products below the network may split their sums differently.
    expect(relativeError(alone!.metrics.perSample, first!.metrics.perSample)).toBeLessThan(1e-5);
    expect(largestRelativeError(alone!.gradients, first!.gradients)).toBeLessThan(1e-4);
  });
});

describe('EAM in half precision', () => {
  it('trains float32 adapters on a bfloat16 network, near its float32 self', async () => {
    const full = await adaptedModel();
    const half = freshModel({ lora: tinyLora, dtype: 'bfloat16' });
    await half.load('weights', full.weights());
    await half.load('trainable', full.trainable());
    expect(new Set(Object.values(half.trainable()).map(({ dtype }) => dtype))).toEqual(new Set(['float32']));
    const reference = await iterate(full);
    const result = await iterate(half);
    expect(relativeError(result.metrics.perSample, reference.metrics.perSample)).toBeLessThan(0.05);
    const cosine = (a: number[], b: number[]) =>
      a.reduce((sum, value, i) => sum + value * b[i]!, 0) / (Math.hypot(...a) * Math.hypot(...b));
    expect(cosine(Object.values(result.gradients).flat(), Object.values(reference.gradients).flat())).toBeGreaterThan(
      0.99,
    );
  });
});
