import { describe, expect, it } from 'vitest';

import { Purpose, RandomStream, streamOf } from '../../lib/runtime/random.js';
import { DisposedError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { NativeRollout, NativeTensor } from '../../lib/runtime/native/binding.js';
import { OdeSolver } from '../../lib/runtime/ode-solver.js';
import {
  adaptedModel,
  eamOptions,
  floats,
  labels,
  largestRelativeError,
  normal,
  relativeError,
  takeGradients,
} from '../helpers/tiny-model.js';
import {
  asked,
  batch,
  decode,
  eam,
  iterate,
  rollOut,
  seed,
  shape,
  step,
  tensor,
  terminalGradientOf,
  values,
} from '../helpers/eam-iteration.js';

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
    const images = await floats(await decode(rollout));
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

    const G = await terminalGradientOf(y, pretrained);
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
    'decodes slices of images where memory is short, to the same end ($terminal, $rewardThroughDenoiser)',
    async (options) => {
      const model = await adaptedModel();
      const [whole, sliced] = [await iterate(model, options), await iterate(model, { ...options, decodeSlice: 2 })];
      expect(relativeError(sliced.images, whole.images)).toBeLessThan(1e-6);
      expect(largestRelativeError(sliced.gradients, whole.gradients)).toBeLessThan(1e-5);
      expect(sliced.metrics.forwards).toBe(whole.metrics.forwards);
      expect(sliced.metrics.vjps).toBe(whole.metrics.vjps);
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
