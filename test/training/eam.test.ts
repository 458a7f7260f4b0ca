import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { Purpose, RandomStream, streamOf } from '../../lib/runtime/random.js';
import { CancelledError, ConfigError, DisposedError, ShapeError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import type {
  NativeAlgorithm,
  NativeFlowModel,
  NativeRollout,
  NativeTensor,
} from '../../lib/runtime/native/binding.js';
import type { EamOptions } from '../../lib/runtime/native/options.generated.js';
import { OdeSolver } from '../../lib/runtime/ode-solver.js';
import { hold } from '../helpers/executor.js';
import {
  adamW,
  eamOptions,
  floats,
  freshModel,
  labels,
  largestRelativeError,
  normal,
  randomise,
  relativeError,
  snapshot,
  takeGradients,
  tinyLora,
  tinyModel,
} from '../helpers/tiny-model.js';

const batch = 5;
const seed = 31n;
const step = 4;
const shape = [batch, 1, 8, 8];
const asked = [0, 1, 2, 0, 3];
const values = new Float32Array(batch);

async function adaptedModel(): Promise<NativeFlowModel> {
  const model = await tinyModel(tinyLora);
  await randomise(model, 'trainable', 0.2);
  return model;
}

const eam = (model: NativeFlowModel, change: EamOptions = {}): NativeAlgorithm =>
  new (binding().Eam)(model, { ...eamOptions, ...change });

const rollOut = (algorithm: NativeAlgorithm, change: object = {}): Promise<NativeRollout> =>
  algorithm.rollout({
    conditioning: labels(...asked),
    shape,
    seed,
    step,
    cancellation: new (binding().Cancellation)(),
    ...change,
  });

async function iterate(model: NativeFlowModel, change: EamOptions = {}, rewards = values, grad?: NativeTensor) {
  const algorithm = eam(model, change);
  const rollout = await rollOut(algorithm);
  const endpoint = await floats(rollout.endpoint);
  const images = await floats(rollout.images);
  const metrics = await algorithm.accumulate(
    rollout,
    rewards,
    grad ?? (await normal(shape, 8n)),
    new (binding().Cancellation)(),
  );
  return { metrics, endpoint, images, gradients: await takeGradients(model), state: algorithm.state() };
}

/** ∂x̂_1/∂Y of Gaussian latents with the digits' variance, which stands for the denoiser's own Jacobian. */
const denoiserFactor = (delta: number): number => (0.38 * (1 - delta)) / (0.38 * (1 - delta) ** 2 + delta ** 2);

const tensor = (data: number[], dimensions = shape) => binding().Tensor.from(Float32Array.from(data), dimensions);

describe('the rollout of EAM', () => {
  it('solves the ODE of the trained model to 1 − δ and denoises there with the pretrained one', async () => {
    const model = await adaptedModel();
    const { endpoint, images, metrics } = await iterate(model);
    const { latents, forwards } = await binding().sample(model, {
      conditioning: labels(...asked),
      guidance: 1,
      solver: 'heun',
      times: [0, 0.3, 0.6, 0.9],
      shape,
      seed,
      firstSample: 0,
      weights: 'trained',
      cancellation: new (binding().Cancellation)(),
    });
    // The sampler draws its noise in step 0, the rollout in its own.
    expect(relativeError(await floats(latents), endpoint)).toBeGreaterThan(0.1);
    expect(forwards).toBe(6 * batch);
    expect(metrics.forwards).toBe((6 + 1 + eamOptions.renoisings) * batch);
    expect([metrics.vjps, metrics.backwards]).toEqual([0, eamOptions.renoisings * batch]);

    const velocity = await floats(
      await model.velocity(tensor(endpoint), new Float32Array(batch).fill(0.9), labels(...asked), true),
    );
    expect(
      relativeError(
        images,
        endpoint.map((y, i) => (y + 0.1 * velocity[i]! + 1) / 2),
      ),
    ).toBeLessThan(1e-5);
  });

  it('goes to t = 1 with the plugin reading, and shows the endpoint itself', async () => {
    const { endpoint, images, metrics } = await iterate(await adaptedModel(), { terminal: 'plugin' });
    expect(
      relativeError(
        images,
        endpoint.map((x) => (x + 1) / 2),
      ),
    ).toBeLessThan(1e-6);
    expect(metrics.forwards).toBe((5 + 1 + eamOptions.renoisings) * batch);
  });

  it('applies guidance, and counts both evaluations', async () => {
    const model = await adaptedModel();
    const algorithm = eam(model, { guidance: 3 });
    const rollout = await rollOut(algorithm, { unconditional: labels(3) });
    expect(rollout.forwards).toBe((2 * 6 + 1) * batch);
    expect(
      relativeError(await floats(rollout.endpoint), await floats((await rollOut(eam(model))).endpoint)),
    ).toBeGreaterThan(1e-3);
    await expect(rollOut(algorithm)).rejects.toThrow(
      /guidance: expected 1 without an unconditional conditioning, got 3/,
    );
  });

  it('can match the guided velocity, with its score and its images', async () => {
    const model = await adaptedModel();
    const algorithm = eam(model, { guidance: 3, guidedLoss: true });
    const rollout = await rollOut(algorithm, { unconditional: labels(3) });
    const guided = async (x: NativeTensor, t: Float32Array, pretrained: boolean) =>
      binding().weightedSum(
        [
          await model.velocity(x, t, labels(...asked), pretrained),
          await model.velocity(x, t, labels(...asked.map(() => 3)), pretrained),
        ],
        [3, -2],
      );
    const y = tensor(await floats(rollout.endpoint));
    const pretrained = await guided(y, new Float32Array(batch).fill(0.9), true);
    const images = await floats(rollout.images);
    const metrics = await algorithm.accumulate(
      rollout,
      values,
      await normal(shape, 8n),
      new (binding().Cancellation)(),
    );
    const velocity = await floats(pretrained);
    expect(
      relativeError(
        images,
        (await floats(y)).map((value, i) => (value + 0.1 * velocity[i]! + 1) / 2),
      ),
    ).toBeLessThan(1e-5);

    const rewardGrad = await binding().weightedSum([await normal(shape, 8n)], [denoiserFactor(0.1) / 2]);
    const G = await binding().terminalGradient({
      x: y,
      velocity: pretrained,
      rewardGrad,
      lambda: eamOptions.lambda,
      time: 0.9,
    });
    const M = eamOptions.renoisings;
    const losses = new Float32Array(batch);
    for (let m = 0; m < M; m++) {
      const t = Float32Array.from(
        { length: batch },
        (_, b) => (0.9 * (m + new RandomStream(seed, streamOf(step, b * M + m, Purpose.time)).uniform())) / M,
      );
      const noise = {
        seed,
        stream: BigUint64Array.from({ length: batch }, (_, b) => streamOf(step, b * M + m, Purpose.renoise)),
      };
      const trained = await guided(await binding().renoise({ x1: y, t, noise, terminalTime: 0.9 }), t, false);
      const { perSample } = await binding().matchingLoss({
        velocity: trained,
        x1: y,
        terminalGradient: G,
        t,
        C: 1,
        noise,
        terminalTime: 0.9,
      });
      for (let b = 0; b < batch; b++) losses[b]! += perSample[b]! / M;
    }
    expect(relativeError(metrics.perSample, losses)).toBeLessThan(1e-4);
    expect(metrics).toMatchObject({ forwards: 2 * (6 + 1 + M) * batch, backwards: 2 * M * batch, vjps: 0 });
    await takeGradients(model);
    // Without guidance there is nothing to match in its place.
    expect((await iterate(model, { guidedLoss: true })).gradients).toEqual((await iterate(model)).gradients);
  });

  it('takes its steps at shifted times', async () => {
    const model = await adaptedModel();
    const { endpoint } = await iterate(model, { shift: 3 });
    const stream = BigUint64Array.from({ length: batch }, (_, b) => streamOf(step, b, Purpose.initialNoise));
    const noise = await binding().philoxNormal(shape, { seed, stream });
    // σ = 3u/(1 + 2u), which is 0.1 at u = 1/28.
    const times = [0, 1, 2, 3].map((i) => 1 - (9 * i) / 28).map((u) => 1 - (3 * u) / (1 + 2 * u));
    const x = await new OdeSolver({ solver: 'heun', times }).run(
      (at, t) => model.velocity(at, new Float32Array(batch).fill(t), labels(...asked), false),
      noise,
    );
    expect(relativeError(endpoint, await floats(x))).toBeLessThan(1e-5);
    expect(relativeError((await iterate(model)).endpoint, endpoint)).toBeGreaterThan(1e-3);
    expect(() => eam(model, { shift: 0 })).toThrow(/shift: expected a number above 0, got 0/);
  });

  it.each([
    { terminal: 'consistent', rewardThroughDenoiser: false },
    { terminal: 'consistent', rewardThroughDenoiser: true },
    { terminal: 'plugin', rewardThroughDenoiser: false },
  ] as const)(
    'decodes a second time where memory is short, to the same end ($terminal, $rewardThroughDenoiser)',
    async (options) => {
      const model = await adaptedModel();
      const [whole, sliced] = [await iterate(model, options), await iterate(model, { ...options, decodeSlice: 2 })];
      expect(relativeError(sliced.images, whole.images)).toBeLessThan(1e-6);
      expect(largestRelativeError(sliced.gradients, whole.gradients)).toBeLessThan(1e-5);
      expect(sliced.metrics.forwards - whole.metrics.forwards).toBe(options.rewardThroughDenoiser ? batch : 0);
    },
  );

  it('serves one accumulate, and none after dispose', async () => {
    const algorithm = eam(await adaptedModel());
    const accumulate = async (rollout: NativeRollout) =>
      algorithm.accumulate(rollout, values, await normal(shape, 8n), new (binding().Cancellation)());
    const rollout = await rollOut(algorithm);
    await accumulate(rollout);
    await expect(accumulate(rollout)).rejects.toThrow(/already used/);
    rollout.dispose();
    await expect(accumulate(rollout)).rejects.toThrow(DisposedError);
  });
});

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
    const rewardGrad = await binding().weightedSum([await normal(shape, 8n)], [denoiserFactor(0.1) / 2]);
    const G = await binding().terminalGradient({
      x: y,
      velocity: pretrained,
      rewardGrad,
      lambda: eamOptions.lambda,
      time: 0.9,
    });
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
    const trained = await snapshot(model.trainable());
    const norm = Math.hypot(...Object.values(gradients).flat());
    const moved = async (distance: number) => {
      const target = model.trainable();
      await model.load(
        'trainable',
        Object.fromEntries(
          Object.entries(trained).map(([name, numbers]) => [
            name,
            tensor(
              numbers.map((value, i) => value + (distance * gradients[name]![i]!) / norm),
              target[name]!.shape,
            ),
          ]),
        ),
      );
      return lossAt();
    };
    const slope = ((await moved(1e-3)) - (await moved(-1e-3))) / 2e-3;
    expect(slope / norm).toBeCloseTo(1, 2);
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
